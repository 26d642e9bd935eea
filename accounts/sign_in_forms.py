"""django-allauth's forms as we show them: a label above each input, nothing written inside it."""

from typing import Any

from allauth.account import forms as account
from allauth.mfa.base import forms as mfa
from allauth.mfa.totp import forms as totp
from django import forms


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


class PasswordAgainForm(LabelledMixin, account.ReauthenticateForm):  # type: ignore[misc]  # as above
    """The password again, before a change to how one signs in."""


class ChangePasswordForm(LabelledMixin, account.ChangePasswordForm):  # type: ignore[misc]  # as above
    """The old password and a new one."""


class SetPasswordForm(LabelledMixin, account.SetPasswordForm):  # type: ignore[misc]  # as above
    """A first password, for someone who has only a passkey."""


class ForgottenPasswordForm(LabelledMixin, account.ResetPasswordForm):  # type: ignore[misc]  # as above
    """The address that the link goes to."""


class NewPasswordForm(LabelledMixin, account.ResetPasswordKeyForm):  # type: ignore[misc]  # as above
    """A new password, by the link of a mail."""


class SecondFactorForm(LabelledMixin, mfa.AuthenticateForm):  # type: ignore[misc]  # as above
    """Six digits, or a recovery code, at sign-in."""


class SecondFactorAgainForm(LabelledMixin, mfa.ReauthenticateForm):  # type: ignore[misc]  # as above
    """The same before a dangerous act."""


class AddAppForm(LabelledMixin, totp.ActivateTOTPForm):  # type: ignore[misc]  # as above
    """The first six digits of a new authenticator app."""
