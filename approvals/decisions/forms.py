"""What somebody answers on a step: staff in the portal, a rights-holder by link (A1, A3)."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from approvals.decisions.services.answers import NEEDS_REASON, Answer
from approvals.models import Decision, Step, StepRole
from core.fields import LineField, ParagraphField
from partners.models import IdentityCheck


class DecisionForm(forms.Form):
    """Approve, ask for changes or reject, on exactly the terms whose digest the page showed."""

    digest = forms.RegexField(regex=r"^[0-9a-f]{64}$", widget=forms.HiddenInput)
    answer = forms.ChoiceField(
        label=_("Your answer"),
        choices=[
            (Decision.Outcome.APPROVE.value, Decision.Outcome.APPROVE.label),
            (Decision.Outcome.CHANGES.value, Decision.Outcome.CHANGES.label),
            (Decision.Outcome.REJECT.value, Decision.Outcome.REJECT.label),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose an answer."), "invalid_choice": _("Choose an answer.")},
    )
    checklist = forms.MultipleChoiceField(
        label=_("Identity check"),
        help_text=_("Security's list. Every point must be confirmed before you approve."),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reason = ParagraphField(
        label=_("Reason"),
        help_text=_("Needed unless you approve: the requester will read it."),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, step: Step, *args: Any, **options: Any) -> None:
        """`step` comes with its revision, request and partner."""
        super().__init__(*args, **options)
        self.fields["digest"].initial = bytes(step.revision.digest).hex()
        self.points = (
            IdentityCheck.points_for(step.request.partner.kind) if step.role == StepRole.TECH else []
        )
        checklist = self.fields.pop("checklist")
        if self.points and isinstance(checklist, forms.MultipleChoiceField):
            checklist.choices = [(point.value, point.label) for point in self.points]
            self.fields["checklist"] = checklist
            self.order_fields(["digest", "checklist"])

    def clean(self) -> dict[str, Any]:
        """What the service checks again, said beside its field."""
        data = super().clean() or {}
        answer = data.get("answer")
        if answer in NEEDS_REASON and "reason" in data and not data["reason"]:
            self.add_error("reason", NEEDS_REASON[answer])
        if answer == Decision.Outcome.APPROVE and set(self.points) - set(data.get("checklist", ())):
            self.add_error(
                "checklist", _("Every point of the identity check must be confirmed before approval.")
            )
        return data

    def to_answer(self) -> Answer:
        """The answer for the service; only after `is_valid`."""
        data = self.cleaned_data
        return Answer(
            outcome=data["answer"],
            digest=bytes.fromhex(data["digest"]),
            reason=data["reason"],
            checklist=tuple(data.get("checklist", ())),
            signed_name=data.get("signed_name", ""),
            signed_capacity=data.get("signed_capacity", ""),
        )


class ConsentForm(DecisionForm):
    """A rights-holder's answer: signed with name and capacity, proven by a code to the registered address."""

    proof = forms.CharField(widget=forms.HiddenInput, max_length=500)
    signed_name = LineField(label=_("Your name"), max_length=120)
    signed_capacity = LineField(
        label=_("In what capacity"),
        help_text=_("For example: the artist, or head of the office."),
        max_length=120,
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["answer"].choices = [  # type: ignore[attr-defined]  # a ChoiceField, see above
            (Decision.Outcome.APPROVE.value, _("I consent")),
            (Decision.Outcome.CHANGES.value, _("I want changes first")),
            (Decision.Outcome.REJECT.value, _("I do not consent")),
        ]
        self.fields["reason"].help_text = _("Needed unless you consent. Say what should be different.")
        self.fields["signed_name"].widget.attrs["autocomplete"] = "name"


class CodeForm(forms.Form):
    """The eight digits of the mail; spaces and full-width digits are fine."""

    code = forms.CharField(
        label=_("Code from the mail"),
        help_text=_("Eight digits."),
        max_length=40,
        widget=forms.TextInput(
            attrs={
                "inputmode": "numeric",
                "autocomplete": "one-time-code",
                "autocapitalize": "off",
                "spellcheck": "false",
                "placeholder": "0000 0000",
            }
        ),
    )
