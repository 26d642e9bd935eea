"""The registry, one key's pages, and the public pages on which a recipient collects a key."""

from django.urls import path

from keys.catalogue import views as catalogue
from keys.delivery import views as collect
from keys.registry.views import detail, registry, status
from keys.workspaces.views import grants, workspace

app_name = "keys"
urlpatterns = [
    path("keys/", registry.key_list, name="key-list"),
    path("keys/export/", registry.export, name="key-export"),
    path("keys/products/", catalogue.product_list, name="product-list"),
    path("keys/<number:number>/", detail.key_detail, name="key-detail"),
    path("keys/<number:number>/suspend/", status.suspend, name="key-suspend"),
    path("keys/<number:number>/reactivate/", status.reactivate, name="key-reactivate"),
    path("keys/<number:number>/quarantine/", status.quarantine, name="key-quarantine"),
    path("keys/<number:number>/quarantine/end/", status.quarantine_end, name="key-quarantine-end"),
    path("keys/<number:number>/revoke/", status.revoke, name="key-revoke"),
    path("keys/<number:number>/redeliver/", detail.redeliver, name="key-redeliver"),
    path("keys/<number:number>/workspaces/", grants.grant_list, name="grant-list"),
    path("keys/<number:number>/workspaces/add/", grants.grant_add, name="grant-add"),
    path("keys/<number:number>/workspaces/<uuid:uid>/end/", grants.grant_end, name="grant-end"),
    path("workspaces/<number:number>/limits/", workspace.workspace_limits, name="workspace-limits"),
    path("collect/<str:token>/", collect.collect, name="delivery-collect"),
    path("collect/<str:token>/confirm/", collect.confirm, name="delivery-confirm"),
    path("collect/<str:token>/renew/", collect.renew, name="delivery-renew"),
    path("collect/<str:token>/test/", collect.self_test, name="delivery-test"),
]
