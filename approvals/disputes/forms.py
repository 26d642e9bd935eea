"""Forms of what goes wrong: "this was not me", withdrawn consent, emergencies (A7-A9)."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.models import Doubt, Request
from core.fields import LineField, ParagraphField


class NotMeForm(forms.Form):
    """A tick and a button: mail scanners press buttons, but they tick no boxes."""

    sure = forms.BooleanField(
        label=_("I did not give this answer."),
        error_messages={"required": _("Tick this box if the answer is not yours.")},
    )


class VerdictForm(forms.Form):
    """What security found, and how."""

    verdict = forms.ChoiceField(
        label=_("What you found"),
        choices=Doubt.Verdict.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose what you found.")},
    )
    reason = ParagraphField(
        label=_("What you found out, and how"),
        help_text=_("For example: spoke to the person by phone. The requester and the person are told."),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say what you found out, and how.")},
    )

    def __init__(self, request: Request, *args: Any, **options: Any) -> None:
        """`request` is the one in doubt: of one that has ended nothing can be asked again."""
        super().__init__(*args, **options)
        if request.ended_at is not None:
            left = [choice for choice in Doubt.Verdict.choices if choice[0] != Doubt.Verdict.AGAIN]
            self.fields["verdict"].choices = left  # type: ignore[attr-defined]  # a ChoiceField, see above


class WithdrawalForm(forms.Form):
    """A rights-holder's withdrawal: signed, proven by a code to the registered address (A9)."""

    proof = forms.CharField(widget=forms.HiddenInput, max_length=500)
    signed_name = LineField(label=_("Your name"), max_length=120)
    signed_capacity = LineField(
        label=_("In what capacity"),
        help_text=_("For example: the artist, or head of the office."),
        max_length=120,
    )
    reason = ParagraphField(
        label=_("Reason"),
        help_text=_("You need not give one. It is read by the people who work with you."),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["signed_name"].widget.attrs["autocomplete"] = "name"
