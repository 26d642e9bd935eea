"""What becomes of a request's answers when it is submitted again, read for requests.rules to judge (A6).

The resubmission and the panel beside the form ask the same function, so that what the form foretells is what
happens.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from approvals.models import Decision, Doubt, KeyChange, Request, Revision, Standing, Step, StepRole
from approvals.path.selectors.holds import counts_for
from approvals.policies.rules import PlannedStep
from approvals.requests.rules import Approval, Fate, Place, Why, concerning, fates, moved_fields
from audit.actions import Action
from audit.models import Event
from core.ids import ref, refs
from partners.models import Contact


def fates_of(
    old: Revision, in_force: Iterable[Decision], content: Mapping[str, Any], new: Sequence[Place]
) -> list[tuple[Decision, Fate]]:
    """Each of the answers in force, with what becomes of it under the newest revision after `old`.

    `content` is what that revision holds, or would hold; `new` its path. In eight queries at most.
    """
    request = old.request
    steps = list(old.steps.order_by("position"))
    place_of = {step.pk: place for place, step in enumerate(steps)}
    counts_on = dict(Standing.objects.filter(step__revision=old).values_list("decision", "step"))
    given = list(in_force)
    where = {one.pk: place_of[counts_on.get(one.pk, one.step_id)] for one in given}
    void = _void(request)
    fields = [*moved_fields(old.terms, content), *_moved_addresses(old, content)]
    before = [place_of_step(step) for step in steps]
    approvals = [one for one in given if one.outcome == Decision.Outcome.APPROVE]
    found = fates(
        before,
        new,
        [Approval(where[one.pk], _ref_of(one), is_void=one.pk in void) for one in approvals],
        fields=fields,
        asked_for_changes={where[one.pk] for one in given if one.outcome == Decision.Outcome.CHANGES},
    )
    judged = dict(zip((one.pk for one in approvals), found, strict=True))
    return [(one, judged.get(one.pk) or _answered(before, new, where[one.pk], fields)) for one in given]


def _answered(before: Sequence[Place], new: Sequence[Place], place: int, fields: Sequence[str]) -> Fate:
    """A wish for changes: it has been answered with the revision, whatever that says."""
    role = before[place].role
    at = next((n for n, step in enumerate(new) if step.role == role), None)
    return Fate(Why.CHANGES, at, tuple(concerning(role, fields)))


def _void(request: Request) -> set[int]:
    """Answers that fall whatever the revision leaves alone.

    What security found void (A7), and a consent that is older than what its giver has withdrawn since (A9).
    """
    again = Doubt.objects.filter(request=request, verdict=Doubt.Verdict.AGAIN)
    void = set(again.values_list("decision", flat=True))
    change = KeyChange.objects.select_related("key").filter(request=request).first()
    if change is not None:
        given = request.decisions.filter(contact__isnull=False, outcome=Decision.Outcome.APPROVE)
        void |= set(given.values_list("pk", flat=True)) - set(
            counts_for(given, change.key).values_list("pk", flat=True)
        )
    return void


def place_of_step(step: Step) -> Place:
    """A step as the rules see it."""
    return Place(
        role=step.role,
        n_needed=step.n_needed,
        needs_second_factor=step.needs_second_factor,
        people=tuple(step.people),
        contact=step.contact_id,
    )


def place_of_plan(step: PlannedStep, consents: Contact | None) -> Place:
    """The same of a step that is planned only; `consents` is the contact whom the terms name for it."""
    return Place(
        role=step.role,
        n_needed=step.n_needed,
        needs_second_factor=step.needs_second_factor,
        people=tuple(step.people),
        contact=consents.pk if consents and step.role == StepRole.RIGHTS_HOLDER else None,
    )


def _ref_of(decision: Decision) -> str:
    """Whose answer it is: that of the giver, where somebody stood in for them (A5)."""
    person = decision.on_behalf_of or decision.staff or decision.contact
    assert person is not None  # approvals_decision_one_person
    return person.public_id


def _moved_addresses(old: Revision, content: Mapping[str, Any]) -> list[str]:
    """Fields that name a contact whose address was changed since: who approved it saw another one (A4)."""
    contacts = {name: content[name] for name in ("recipient", "consent_contact") if content[name]}
    changed = Event.objects.filter(
        action=Action.CONTACT_CHANGED,
        occurred_at__gt=old.created_at,
        objects_touched__overlap=refs(*contacts.values()),
        payload__fields__contains=["email"],
    )
    touched = {name for event in changed for name in event.objects_touched}
    return [name for name, number in contacts.items() if ref(number) in touched]
