"""What would become of the answers so far if a request were submitted as the form stands now (R2, A6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext

from approvals.changes.terms import labels_of
from approvals.models import Decision, Request, StepRole
from approvals.path.bench import refs_in
from approvals.policies.rules import bars
from approvals.requests.rules import Fate, Place, Why
from approvals.requests.selectors.fates import fates_of
from approvals.wording import FALLS
from keys.terms.terms import KeyTerms


@dataclass(frozen=True, slots=True)
class Fallen:
    """An answer that would not count any more, and why, in words."""

    decision: Decision
    why: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """All answers of a request, oldest first, with the fate of those in force; empty for a first submission.

    `roles`: those of the last revision's path.
    """

    roles: tuple[str, ...] = ()
    given: tuple[Decision, ...] = ()
    fates: Mapping[int, Fate] | None = None
    words: Mapping[int, str] | None = None

    @property
    def is_again(self) -> bool:
        """Whether it was submitted before."""
        return bool(self.roles)

    def standing_on(self, place: int) -> list[Decision]:
        """The answers that would count for a step of the new path."""
        return [one for one, fate in self._in_force() if fate.stands and fate.place == place]

    def falling_on(self, place: int | None) -> list[Fallen]:
        """The answers on a step that would not count; those of steps that are gone for None."""
        words = self.words or {}
        return [
            Fallen(one, words[one.pk])
            for one, fate in self._in_force()
            if not fate.stands and fate.place == place
        ]

    def _in_force(self) -> list[tuple[Decision, Fate]]:
        fates = self.fates or {}
        return [(one, fates[one.pk]) for one in self.given if one.pk in fates]

    def barred_from(self, role: str) -> set[str]:
        """Who could not decide a step of this role, for having a part in another one (A4, A6)."""
        standing = {one.pk for one, fate in self._in_force() if fate.stands}
        return refs_in(
            one
            for one in self.given
            if bars(decided_role=one.step.role, has_fallen=one.pk not in standing, role=role)
        )

    def is_new(self, role: str) -> bool:
        """Whether the last revision did not need this role."""
        return self.is_again and role not in self.roles

    def dropped(self, needed: set[str]) -> list[tuple[str | Promise, list[Fallen]]]:
        """The roles that are not needed any more, each with the answers that fall with it."""
        falling = self.falling_on(None)
        return [
            (StepRole(role).label, [fallen for fallen in falling if fallen.decision.step.role == role])
            for role in dict.fromkeys(self.roles)
            if role not in needed
        ]


def outlook_of(request: Request, content: Mapping[str, Any], places: Sequence[Place]) -> Outlook:
    """What would become of the answers with a revision of this `content`, on a path of these `places`."""
    old = request.revisions.order_by("-number").select_related("request").first()
    if old is None:
        return Outlook()
    given = request.decisions.select_related("step", "staff", "contact", "on_behalf_of").order_by("id")
    judged = fates_of(old, [one for one in given if one.fallen_at is None], content, places)
    return Outlook(
        roles=tuple(old.steps.order_by("position").values_list("role", flat=True)),
        given=tuple(given),
        fates={one.pk: fate for one, fate in judged},
        words={one.pk: _why(one, fate, old.terms, content) for one, fate in judged if not fate.stands},
    )


def _why(decision: Decision, fate: Fate, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if fate.why == Why.CHANGES and decision.outcome == Decision.Outcome.CHANGES:
        return gettext("asked for changes, so is asked again")
    both = KeyTerms.from_json(dict(old)), KeyTerms.from_json(dict(new))
    named = {field: str(label) for field in fate.fields for label in labels_of([field], *both)}
    said = [
        # The same contact as before, at another address (A4).
        label if old.get(field) != new.get(field) else gettext("%(field)s: the address") % {"field": label}
        for field, label in named.items()
    ]
    return str(FALLS[fate.why]) % {"fields": gettext(", ").join(dict.fromkeys(said))}
