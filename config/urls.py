"""All URLs of the portal. `/v1/…` is not here: see config.wsgi."""

from django.urls import include, path

from approvals.home.views import home
from config.ready import readyz
from core import views

handler500 = "core.views.server_error"

urlpatterns = [
    path("", home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("sign-in/", include("accounts.sign_in_urls")),
    path("accounts/", include("accounts.urls")),
    path("partners/", include("partners.urls")),
    path("", include("keys.urls")),
    path("", include("approvals.urls")),
    path("mail/", include("intake.urls")),
    path("gateways/", include("verifier.urls")),
    path("audit/", include("audit.urls")),
    path("notifications/", include("notifications.urls")),
]
