"""The demo's mailbox: a Django process of its own, showing the mails that the others wrote to `MAIL_FOLDER`.

It has no database, no accounts and none of the portal's secrets, and it is no part of production: the
launcher runs it in the demo only.
"""

import os
import secrets

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest
from django.urls import include, path
from django.views.generic import RedirectView

from config.places import VAR

os.environ["DJANGO_SETTINGS_MODULE"] = "config.mailbox"

ROOT_URLCONF = "config.mailbox"
INSTALLED_APPS = ["django_mail_preview"]
SECRET_KEY = secrets.token_urlsafe(50)
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")
# The portal on the same host has its own token; cookies do not know ports.
CSRF_COOKIE_NAME = "mailbox_csrftoken"
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
USE_TZ = True
TIME_ZONE = "Asia/Tokyo"

EMAIL_BACKEND = "django_mail_preview.backends.EmailBackend"
MAIL_PREVIEW_ROOT = os.environ.get("MAIL_FOLDER", str(VAR / "mail"))
MAIL_PREVIEW_MAX_MESSAGES = 500
MAIL_PREVIEW_ALLOW = "config.mailbox.everybody"


def everybody(_request: HttpRequest) -> bool:
    """The demo's mailbox is open to whoever reaches its port, as the demo itself is."""
    return True


urlpatterns = [
    path("mail/", include("django_mail_preview.urls")),
    path("", RedirectView.as_view(pattern_name="mail_preview:index")),
]

application = get_wsgi_application()
