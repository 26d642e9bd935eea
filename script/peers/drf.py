"""What a Django team takes instead: djangorestframework-api-key and django-rest-knox, as their manuals say.

Runs in an environment of its own (script/bench_peers.py), not in the product's. `drf.py N` makes the tables
and N keys of each kind and prints them as JSON; `drf:application` serves them.
"""

import json
import os
import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

settings.configure(
    SECRET_KEY="b" * 50,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="drf",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "CONN_MAX_AGE": None,
            **json.loads(os.environ["PEER_DATABASE"]),
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "rest_framework_api_key",
        "knox",
    ],
    # Those of `startproject` that an API has use for.
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)  # fmt: skip
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import path
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.models import APIKey
from rest_framework_api_key.permissions import HasAPIKey


class WithApiKey(APIView):
    """Answers who has a key of djangorestframework-api-key."""

    authentication_classes = ()
    permission_classes = (HasAPIKey,)

    def get(self, request):
        """Answer."""
        return Response({"valid": True})


class WithKnox(APIView):
    """Answers who has a token of django-rest-knox."""

    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)

    def get(self, request):
        """Answer."""
        return Response({"valid": True})


urlpatterns = [path("drf-api-key", WithApiKey.as_view()), path("knox", WithKnox.as_view())]


def seed(n_keys):
    """Make tables and keys."""
    call_command("migrate", verbosity=0)
    # knox reads all tokens of a token's user at each call: here each has one.
    users = User.objects.bulk_create(User(username=f"bench-{number}") for number in range(n_keys))
    made = {
        "drf-api-key": [f"Api-Key {APIKey.objects.create_key(name='bench')[1]}" for _ in range(n_keys)],
        "knox": [f"Token {AuthToken.objects.create(user=user)[1]}" for user in users],
    }
    print(json.dumps(made))


if __name__ == "__main__":
    seed(int(sys.argv[1]))
else:
    application = get_wsgi_application()
