"""django-allauth's forms as we show them: a label above each input, nothing written inside it."""

from collections.abc import Callable
from typing import Any

from allauth.account import forms as account
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as mfa
from allauth.mfa.models import Authenticator
from allauth.mfa.totp import forms as totp
from django import forms

from accounts.services import take_code
from core.fields import EmailField
from core.parsing import digits_of


class LabelledMixin:
    """Takes the placeholders away (they vanish while one types) and the hint that links elsewhere.

    Addresses and codes are read as everywhere else: of any width.
    """

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs.pop("placeholder", None)
            if isinstance(field, forms.EmailField):
                self.fields[name] = EmailField(label=field.label, widget=field.widget)
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


class CodeMixin(LabelledMixin):
    """Reads the digits of a code."""

    cleaned_data: dict[str, Any]

    def clean_code(self) -> str:
        """Check the digits alone."""
        self.cleaned_data["code"] = digits_of(self.cleaned_data["code"])
        return str(super().clean_code())  # type: ignore[misc]  # of allauth's form beside it


class CodeOnceMixin(CodeMixin):
    """Takes a code of an authenticator app once."""

    authenticator: Authenticator
    _emit_authentication_failed: Callable[[Authenticator], None]

    def clean_code(self) -> str:
        """Refuse what was used, in the words for a wrong code."""
        code = super().clean_code()
        is_of_app = self.authenticator.type == Authenticator.Type.TOTP
        if is_of_app and not take_code(authenticator=self.authenticator, code=code):
            self._emit_authentication_failed(self.authenticator)
            raise get_adapter().validation_error("incorrect_code")
        return code


class SecondFactorForm(CodeOnceMixin, mfa.AuthenticateForm):  # type: ignore[misc]  # as above
    """Six digits, or a recovery code, at sign-in."""


class SecondFactorAgainForm(CodeOnceMixin, mfa.ReauthenticateForm):  # type: ignore[misc]  # as above
    """The same before a dangerous act."""


class AddAppForm(CodeMixin, totp.ActivateTOTPForm):  # type: ignore[misc]  # as above
    """The first six digits of a new authenticator app."""
