"""Links by which a person sets a password: made when the mail is rendered, kept nowhere (A3's rule, S1)."""

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.urls import reverse

from accounts.models import User


def password_link(user: User) -> str:
    """A one-time link to set a password. Dies with use, a new password, the next sign-in, and age.

    Django derives it from the person's row with SECRET_KEY; PASSWORD_RESET_TIMEOUT is its lifetime.
    """
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    uidb36, _, token = key.partition("-")
    path = reverse("account_reset_password_from_key", kwargs={"uidb36": uidb36, "key": token})
    return f"{settings.PORTAL_URL}{path}"
