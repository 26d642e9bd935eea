"""What every page tells the browser about itself."""

import pytest
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/sign-in/", "/no/such/page/", "/healthz"])
def test_a_page_may_use_passkeys_and_the_clipboard_and_nothing_else_of_the_browser(
    client: Client, path: str
) -> None:
    policy = dict(part.split("=", 1) for part in client.get(path).headers["Permissions-Policy"].split(", "))
    allowed = {feature for feature, places in policy.items() if places != "()"}
    assert allowed == {"publickey-credentials-create", "publickey-credentials-get", "clipboard-write"}
    assert {policy[feature] for feature in allowed} == {"(self)"}
    assert {"camera", "microphone", "geolocation", "usb", "payment"} <= policy.keys()


def test_no_script_can_read_the_cookie_of_forms(client: Client) -> None:
    cookie = client.get(reverse("account_login")).cookies["csrftoken"]
    assert cookie["httponly"]
