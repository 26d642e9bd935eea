"""Beginning a change of a key: a draft with the key's present terms, one for a person and key (R3)."""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.access import require_may_request
from approvals.changes.selectors.changes import present_terms
from approvals.changes.services.changing import open_change_of, require_approved
from approvals.models import KeyChange, Request
from approvals.requests.drafts import draft_of
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict
from core.ids import next_public_id, refs
from keys.life.services.changing import lock_key
from keys.models import Key
from keys.terms.settings import digest_of_settings, require_unchanged


class ChangeIsOpen(Conflict):
    """Another change of the key is open: `number` is its request."""

    def __init__(self, number: str) -> None:
        super().__init__(
            _("Request %(number)s already asks for a change of this key. Only one can be open.")
            % {"number": number}
        )
        self.number = number


@transaction.atomic
def start_change(*, actor: Actor, by: User, key: Key, now: datetime) -> Request:
    """A draft that asks for a change of this key; the one that the person has already, if there is one.

    Raises NotAllowed, Conflict for a key that has ended or a partner that is not active, ChangeIsOpen.
    """
    require_may_request(by)
    key = lock_key(key)
    terms = present_terms(key)
    digest = digest_of_settings(terms)
    require_unchanged(key, terms, digest)
    require_approved(key)
    if not key.partner.is_active:
        raise Conflict(_("This partner is not active."))
    other = open_change_of(key)
    if other is not None:
        raise ChangeIsOpen(other.request.public_id)
    mine = Request.objects.filter(
        requester=by, change__key=key, change__state=KeyChange.State.DRAFT, ended_at=None
    ).first()
    if mine is not None:
        return mine
    request = Request.objects.create(
        public_id=next_public_id("KR"),
        kind=Request.Kind.CHANGE,
        requester=by,
        partner=key.partner,
        title=key.name,
        draft=draft_of(terms),
        created_at=now,
        changed_at=now,
    )
    KeyChange.objects.create(request=request, key=key, base=terms.to_json(), base_digest=digest)
    record(
        Action.REQUEST_DRAFTED,
        actor=actor,
        objects=refs(request, key, key.partner),
        payload={"kind": "change", "revision": 0, "key": key.public_id},
        now=now,
    )
    return request
