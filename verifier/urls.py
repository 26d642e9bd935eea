"""Pages of gateways. The data plane, `/v1/…`, is not here: see verifier.api.app."""

from django.urls import path

from verifier.portal import block_views, views

app_name = "verifier"
urlpatterns = [
    path("", views.gateway_list, name="gateway-list"),
    path("add/", views.gateway_add, name="gateway-add"),
    path("blocked/", block_views.block_list, name="block-list"),
    path("blocked/<int:number>/lift/", block_views.block_lift, name="block-lift"),
    path("<number:number>/", views.gateway_detail, name="gateway-detail"),
    path("<number:number>/change/", views.gateway_change, name="gateway-change"),
    path("<number:number>/credentials/rotate/", views.credential_rotate, name="credential-rotate"),
    path(
        "<number:number>/credentials/<str:credential_id>/revoke/",
        views.credential_revoke,
        name="credential-revoke",
    ),
    path("<number:number>/disable/", views.gateway_disable, name="gateway-disable"),
]
