"""django-allauth's forms as we show them: a label above each input, nothing written inside it."""

from typing import Any, Final

from allauth.account import forms as account
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as mfa
from allauth.mfa.models import Authenticator
from allauth.mfa.totp import forms as totp
from django import forms
from django.conf import settings
from django.core.cache import cache
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.fields import EmailField
from core.parsing import narrow

# For how many seconds one code is right: its own step, and those that the tolerance adds on both sides.
CODE_SECONDS: Final = 30 * (1 + 2 * settings.MFA_TOTP_TOLERANCE)


class CodeField(forms.CharField):
    """A code as people type it: full-width digits and white space of any kind are fine."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", _("Code"))
        options.setdefault("widget", forms.TextInput(attrs={"autocomplete": "one-time-code"}))
        super().__init__(**options)

    def to_python(self, value: Any) -> str:
        """Half-width, without white space."""
        return "".join(narrow(super().to_python(value) or "").split())


def is_first_use(user: User, code: str) -> bool:
    """Mark a code of an authenticator app as used; False if it was (RFC 6238 5.2: each code once).

    allauth forgets a used code after one step of 30 s, though with a tolerance it stays right for longer.
    """
    return cache.add(f"second-factor-used:{user.pk}:{normalize_user_code(code)}", 1, timeout=CODE_SECONDS)


class OnceMixin:
    """A code of the app, or a recovery code, each of which works once."""

    user: User
    authenticator: Authenticator

    def clean_code(self) -> str:
        """Refuse a code of the app that was used before, also within the tolerance."""
        code: str = super().clean_code()  # type: ignore[misc]  # allauth's forms stand beside this one
        if self.authenticator.type == Authenticator.Type.TOTP and not is_first_use(self.user, code):
            self._emit_authentication_failed(self.authenticator)  # type: ignore[attr-defined]  # as above
            raise get_adapter().validation_error("incorrect_code")
        return code


def _read_as_typed(form: forms.Form, name: str) -> None:
    """Let an address be typed in full width: what is told of it stays as allauth has it."""
    field = form.fields[name]
    form.fields[name] = EmailField(label=field.label, required=field.required, widget=field.widget)


class LabelledMixin:
    """Takes the placeholders away (they vanish while one types) and the hint that links elsewhere."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
        if "password" in self.fields:
            self.fields["password"].help_text = ""


class SignInForm(LabelledMixin, account.LoginForm):  # type: ignore[misc]  # allauth has no types
    """Address and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _read_as_typed(self, "login")


class PasswordAgainForm(LabelledMixin, account.ReauthenticateForm):  # type: ignore[misc]  # as above
    """The password again, before a change to how one signs in."""


class ChangePasswordForm(LabelledMixin, account.ChangePasswordForm):  # type: ignore[misc]  # as above
    """The old password and a new one."""


class SetPasswordForm(LabelledMixin, account.SetPasswordForm):  # type: ignore[misc]  # as above
    """A first password, for someone who has only a passkey."""


class ForgottenPasswordForm(LabelledMixin, account.ResetPasswordForm):  # type: ignore[misc]  # as above
    """The address that the link goes to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _read_as_typed(self, "email")


class NewPasswordForm(LabelledMixin, account.ResetPasswordKeyForm):  # type: ignore[misc]  # as above
    """A new password, by the link of a mail."""


class SecondFactorForm(LabelledMixin, OnceMixin, mfa.AuthenticateForm):  # type: ignore[misc]  # as above
    """Six digits, or a recovery code, at sign-in."""

    code = CodeField()


class SecondFactorAgainForm(LabelledMixin, OnceMixin, mfa.ReauthenticateForm):  # type: ignore[misc]  # as above
    """The same before a dangerous act."""

    code = CodeField()


class AddAppForm(LabelledMixin, totp.ActivateTOTPForm):  # type: ignore[misc]  # as above
    """The first six digits of a new authenticator app."""

    code = CodeField(label=_("Authenticator code"))

    def clean_code(self) -> str:
        """The code counts as used from here on."""
        code: str = super().clean_code()
        is_first_use(self.user, code)
        return code
