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
    path("requests/<number:number>/", requests.request_detail, name="request-detail"),
    path("requests/<number:number>/edit/", drafts.request_edit, name="request-edit"),
    path("requests/<number:number>/path/", drafts.request_path_panel, name="request-path-panel"),
    path("requests/<number:number>/withdraw/", requests.request_withdraw, name="request-withdraw"),
    path("requests/<number:number>/pull-back/", requests.request_pull_back, name="request-pull-back"),
    path("requests/<number:number>/copy/", requests.request_copy, name="request-copy"),
    path("requests/change-of/<number:number>/", new_change.change_new, name="change-new"),
    path("requests/<number:number>/change/cancel/", changes.change_cancel, name="change-cancel"),
    path("requests/<number:number>/change/roll-back/", changes.change_roll_back, name="change-roll-back"),
    path("requests/<number:number>/change/look/", changes.change_look, name="change-look"),
    # Panels of other apps' pages.
    path("requests/of-key/<number:number>/", requests.key_approvals, name="key-approvals-panel"),
    path("requests/of-key/<number:number>/changes/", changes.key_changes, name="key-changes-panel"),
    path("requests/of-partner/<number:number>/", requests.partner_requests, name="partner-requests-panel"),
]
