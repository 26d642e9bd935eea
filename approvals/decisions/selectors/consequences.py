"""What will happen after a decision, in words, before it is made (A3)."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext, ngettext

from accounts.models import User
from approvals.models import Request, Step, StepRole
from approvals.path.selectors.owed import owed_steps
from approvals.requests.selectors.path import StepLine
from partners.models import Contact


@dataclass(frozen=True, slots=True)
class Consequences:
    """Sentences for each answer. `n_given` of `n_needed` people have approved the step so far."""

    approve: list[str]
    changes: list[str]
    reject: list[str]
    n_given: int
    n_needed: int


def consequences_of(step: Step, path: Sequence[StepLine]) -> Consequences:
    """What follows from an answer on the open step, by the path as `path_of` gives it; one query at most."""
    n_given = next((line.n_given for line in path if line.step.pk == step.pk), 0)
    return Consequences(
        approve=_after_approval(step, path, n_given),
        changes=_after_asking_for_changes(step),
        reject=_after_rejection(step),
        n_given=n_given,
        n_needed=step.n_needed,
    )


def _after_approval(step: Step, path: Sequence[StepLine], n_given: int) -> list[str]:
    n_missing = step.n_needed - n_given - 1
    if n_missing > 0:
        pattern = ngettext(
            "The step stays open until %(n)d more person has approved it.",
            "The step stays open until %(n)d more people have approved it.",
            n_missing,
        )
        return [pattern % {"n": n_missing}]
    to_come = [line for line in path if line.step.state == Step.State.WAITING]
    if not to_come:
        return _owed(step) or _at_the_end(step)
    following = to_come[0]
    names = gettext(", ").join(following.people)
    role = following.step.get_role_display()
    first = (
        gettext("%(role)s is asked next, by mail: %(people)s.") % {"role": role, "people": names}
        if names
        else gettext("%(role)s is asked next, but nobody may decide that step: security is told.")
        % {"role": role}
    )
    if len(to_come) == 1:
        return [first, gettext("That is the last step before the request is granted.")]
    after = " → ".join(line.step.get_role_display() for line in to_come[1:])
    return [first, gettext("After that: %(roles)s.") % {"roles": after}]


def _owed(step: Step) -> list[str]:
    """What the path lacks, as things stand now: it is asked before the request is granted."""
    roles = [str(StepRole(owed.role).label) for owed in owed_steps(step)]
    if not roles:
        return []
    text = gettext("The rules have changed since it was submitted. After you this is asked, too: %(roles)s.")
    return [text % {"roles": " → ".join(roles)}]


def _at_the_end(step: Step) -> list[str]:
    if step.request.kind != Request.Kind.NEW_KEY:
        return [gettext("This is the last approval: the change comes into force, at once or in its window.")]
    recipient = Contact.objects.filter(public_id=step.revision.terms.get("recipient", "")).first()
    issued = gettext("This is the last approval: the key is issued.")
    if recipient is None:
        return [issued]
    link = gettext("%(name)s gets a link by mail that shows the key once. Nobody here sees it.")
    return [issued, link % {"name": recipient.name}]


def _after_asking_for_changes(step: Step) -> list[str]:
    back = gettext("It goes back to %(name)s with your reason, and can be submitted again.")
    return [
        back % {"name": step.request.requester.name},
        gettext("Approvals of what is not changed still stand; who is concerned by a change is asked again."),
    ]


def _after_rejection(step: Step) -> list[str]:
    requester: User = step.request.requester
    return [
        gettext("The request ends; nobody else is asked, and every open link to it dies."),
        gettext("%(name)s is told by mail, with your reason, and can ask anew.") % {"name": requester.name},
    ]
