"""The same check as a Django view behind `startproject`'s middleware, for `script/bench verify`."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "script.bench_django_settings"

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from verifier.api import app


@csrf_exempt
def verify(request: HttpRequest) -> HttpResponseBase:
    """Answer as `/v1/keys/verify` does."""
    told = app.verify({**request.META, app.BODY: request.body})
    response = HttpResponse(told.body, status=told.status)
    for name, value in told.headers:
        response[name] = value
    return response


urlpatterns = [path("v1/keys/verify", verify)]
