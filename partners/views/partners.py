"""The partner list, a partner's page, and the forms that register and change one."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import require, signed_in
from accounts.roles import Permission
from core.actors import actor_of
from core.errors import NotFound
from partners import selectors
from partners.access import find_partner, may_check_identity, require_may_check_identity, require_may_edit
from partners.forms import IdentityCheckForm, PartnerChangeForm, PartnerForm
from partners.models import Partner
from partners.services import change_partner, record_identity_check, register_partner
from partners.services.contracts import OFFICE_ZONE
from partners.views.editing import edit, posted


@require_safe
@require(Permission.SEE_PARTNERS)
def partner_list(request: HttpRequest) -> HttpResponse:
    """Partners, searched and filtered by the address."""
    shown = {
        "text": request.GET.get("q", "")[:120],
        "kind": request.GET.get("kind", ""),
        "sort": request.GET.get("sort", "name"),
    }
    ended = request.GET.get("ended") == "1"
    found = selectors.list_partners(**shown, ended=ended, cursor=request.GET.get("cursor", ""))
    kinds = [(value, label, found.counts.get(value, 0)) for value, label in Partner.Kind.choices]
    context = {**shown, "ended": ended, "found": found, "kinds": kinds, "n_all": sum(found.counts.values())}
    return render(request, "partners/partner_list.html", context)


@require_safe
@require(Permission.SEE_PARTNERS)
def partner_detail(request: HttpRequest, number: str) -> HttpResponse:
    """All that belongs to a partner, and what to do next."""
    user = signed_in(request)
    partner = find_partner(user, number)
    today = timezone.now().astimezone(OFFICE_ZONE).date()
    page = selectors.partner_page(partner, today=today)
    context = {"page": page, "partner": partner, "may_check_identity": may_check_identity(user)}
    return render(request, "partners/partner_detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.EDIT_PARTNERS)
def partner_register(request: HttpRequest) -> HttpResponse:
    """A new partner; then to its page, where contacts and contracts are added."""
    user = signed_in(request)
    made: list[Partner] = []

    def save(data: dict[str, Any]) -> None:
        made.append(register_partner(actor=actor_of(request), by=user, now=timezone.now(), **data))

    return edit(
        request,
        "partners/partner_form.html",
        form=PartnerForm(posted(request), initial={"name": request.GET.get("name", "")[:160]}),
        save=save,
        done=lambda: reverse("partners:partner-detail", args=[made[0].public_id]),
        message=_("The partner was registered. Now add a contact, a contract and a workspace."),
        context={},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_PARTNERS)
def partner_change(request: HttpRequest, number: str) -> HttpResponse:
    """A partner's facts."""
    user = signed_in(request)
    partner = find_partner(user, number)
    require_may_edit(user)

    def fresh() -> PartnerChangeForm:
        return PartnerChangeForm(initial=PartnerChangeForm.values_of(find_partner(user, number)))

    def save(data: dict[str, Any]) -> None:
        change_partner(actor=actor_of(request), by=user, partner=partner, now=timezone.now(), **data)

    return edit(
        request,
        "partners/partner_form.html",
        form=PartnerChangeForm(request.POST) if request.method == "POST" else fresh(),
        save=save,
        fresh=fresh,
        done=reverse("partners:partner-detail", args=[number]),
        message=_("The partner was changed."),
        context={"partner": partner},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_PARTNERS)
def identity_check_add(request: HttpRequest, number: str) -> HttpResponse:
    """Security or tech records that they checked who the partner is (A1)."""
    user = signed_in(request)
    partner = find_partner(user, number)
    require_may_check_identity(user)
    if not partner.is_active:
        raise NotFound(_("There is no such partner."))

    def save(data: dict[str, Any]) -> None:
        record_identity_check(
            actor=actor_of(request), checked_by=user, partner=partner, now=timezone.now(), **data
        )

    return edit(
        request,
        "partners/identity_check_form.html",
        form=IdentityCheckForm(posted(request), partner=partner),
        save=save,
        done=reverse("partners:partner-detail", args=[number]),
        message=_("The identity check was recorded."),
        context={"partner": partner},
    )
