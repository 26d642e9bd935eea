"""That somebody checked who a partner is, point by point (A1)."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Invalid
from core.ids import refs
from partners.access import require_may_check_identity
from partners.models import IdentityCheck, Partner


@transaction.atomic
def record_identity_check(
    *,
    actor: Actor,
    checked_by: User,
    partner: Partner,
    checklist: Sequence[str],
    note: str = "",
    now: datetime,
) -> IdentityCheck:
    """Keep that every point which the partner's kind demands was checked.

    NotAllowed for anybody but security and tech; Invalid for an unknown point or one that is missing: a check
    that was done by half is none.
    """
    require_may_check_identity(checked_by)
    partner = Partner.objects.select_for_update().get(pk=partner.pk)
    points = [point for point in IdentityCheck.Point.values if point in checklist]
    if len(points) != len(set(checklist)):
        raise Invalid(_("This is no point of the checklist."), field="checklist")
    if not set(IdentityCheck.points_for(partner.kind)) <= set(points):
        raise Invalid(_("Check every point. A check that was done by half is none."), field="checklist")
    check = IdentityCheck.objects.create(
        partner=partner, checked_by=checked_by, checked_at=now, checklist=points, note=note
    )
    partner.identity_checked_at = now
    partner.save(update_fields=["identity_checked_at"])
    record(
        Action.IDENTITY_CHECKED,
        actor=actor,
        objects=refs(partner),
        payload={"checklist": points},
        now=now,
    )
    return check
