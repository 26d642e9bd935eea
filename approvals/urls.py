"""URLs of requests, approvals, and of the public pages that mail links lead to. Included at the root."""

from django.urls import include, path

from approvals.changes import views as changes
from approvals.decisions.views import queue
from approvals.requests.views import drafts, new_change, requests

app_name = "approvals"

urlpatterns = [
    path("", include("approvals.decisions.urls")),
    path("", include("approvals.disputes.urls")),
    path("", include("approvals.emergencies.urls")),
    path("approvals/", queue.queue, name="queue"),
    path("approvals/numbers/", queue.numbers, name="numbers"),
    path("", include("approvals.deputies.urls")),
    path("", include("approvals.policies.urls")),
    path("requests/", requests.request_list, name="request-list"),
    path("requests/new/", drafts.request_new, name="request-new"),
    path("requests/<str:number>/", requests.request_detail, name="request-detail"),
    path("requests/<str:number>/edit/", drafts.request_edit, name="request-edit"),
    path("requests/<str:number>/path/", drafts.request_path_panel, name="request-path-panel"),
    path("requests/<str:number>/withdraw/", requests.request_withdraw, name="request-withdraw"),
    path("requests/<str:number>/pull-back/", requests.request_pull_back, name="request-pull-back"),
    path("requests/<str:number>/copy/", requests.request_copy, name="request-copy"),
    path("requests/change-of/<str:number>/", new_change.change_new, name="change-new"),
    path("requests/<str:number>/change/cancel/", changes.change_cancel, name="change-cancel"),
    path("requests/<str:number>/change/roll-back/", changes.change_roll_back, name="change-roll-back"),
    path("requests/<str:number>/change/look/", changes.change_look, name="change-look"),
    # Panels of other apps' pages.
    path("requests/of-key/<str:number>/", requests.key_approvals, name="key-approvals-panel"),
    path("requests/of-key/<str:number>/changes/", changes.key_changes, name="key-changes-panel"),
    path("requests/of-partner/<str:number>/", requests.partner_requests, name="partner-requests-panel"),
]
