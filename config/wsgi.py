"""The WSGI entry: `/v1/…` goes to the verifier before Django sees it; all else is Django."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.wsgi import get_wsgi_application

portal = get_wsgi_application()

# Imported after Django's set-up: the verifier's cold path reads the registry through the ORM.
from verifier.api.app import application as verifier


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Hand a call to the verifier (V1) or to the portal, by its path alone."""
    if environ["PATH_INFO"].startswith("/v1/"):
        return verifier(environ, start_response)
    return portal(environ, start_response)
