"""Pages of gateways. The data plane, `/v1/…`, is not here: see verifier.app."""

from django.urls import path

from verifier import views

app_name = "verifier"
urlpatterns = [
    path("", views.gateway_list, name="gateway-list"),
    path("add/", views.gateway_add, name="gateway-add"),
    path("<str:number>/", views.gateway_detail, name="gateway-detail"),
    path("<str:number>/change/", views.gateway_change, name="gateway-change"),
    path("<str:number>/credentials/rotate/", views.credential_rotate, name="credential-rotate"),
    path(
        "<str:number>/credentials/<str:credential_id>/revoke/",
        views.credential_revoke,
        name="credential-revoke",
    ),
    path("<str:number>/disable/", views.gateway_disable, name="gateway-disable"),
]
