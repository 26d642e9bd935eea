"""Forms of a partner's contacts, contracts and workspaces. Each goes back to `next`, or to the partner."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import require, signed_in
from accounts.roles import Permission
from core.actors import actor_of
from partners import services
from partners.access import find_contact, find_contract, find_partner, find_workspace, require_may_edit
from partners.forms import (
    ContactChangeForm,
    ContactForm,
    ContractChangeForm,
    ContractForm,
    WorkspaceChangeForm,
    WorkspaceForm,
)
from partners.models import Contact, Partner
from partners.views.editing import edit, posted


def _page_of(partner: Partner) -> str:
    return reverse("partners:partner-detail", args=[partner.public_id])


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_PARTNERS)
def contact_add(request: HttpRequest, number: str) -> HttpResponse:
    """A new person at a partner."""
    user = signed_in(request)
    partner = find_partner(user, number)
    require_may_edit(user)

    def save(data: dict[str, Any]) -> None:
        services.add_contact(actor=actor_of(request), by=user, partner=partner, now=timezone.now(), **data)

    purposes = [p for p in request.GET.getlist("purpose") if p in Contact.Purpose.values]
    return edit(
        request,
        "partners/contact_form.html",
        form=ContactForm(posted(request), partner=partner, initial={"purposes": purposes}),
        save=save,
        done=_page_of(partner),
        message=_("The contact was added."),
        context={"partner": partner},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_PARTNERS)
def contact_change(request: HttpRequest, number: str) -> HttpResponse:
    """A person's facts."""
    user = signed_in(request)
    contact = find_contact(user, number)
    partner = contact.partner
    require_may_edit(user)

    def fresh() -> ContactChangeForm:
        values = ContactChangeForm.values_of(find_contact(user, number))
        return ContactChangeForm(initial=values, partner=partner)

    def save(data: dict[str, Any]) -> None:
        services.change_contact(actor=actor_of(request), by=user, contact=contact, now=timezone.now(), **data)

    return edit(
        request,
        "partners/contact_form.html",
        form=ContactChangeForm(request.POST, partner=partner) if request.method == "POST" else fresh(),
        save=save,
        fresh=fresh,
        done=_page_of(partner),
        message=_("The contact was changed."),
        context={"partner": partner, "contact": contact},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_PARTNERS)
def contract_add(request: HttpRequest, number: str) -> HttpResponse:
    """A new contract of a partner."""
    user = signed_in(request)
    partner = find_partner(user, number)
    require_may_edit(user)

    def save(data: dict[str, Any]) -> None:
        services.add_contract(actor=actor_of(request), by=user, partner=partner, now=timezone.now(), **data)

    return edit(
        request,
        "partners/contract_form.html",
        form=ContractForm(posted(request), initial={"terms_version": settings.TERMS_OF_USE_VERSION}),
        save=save,
        done=_page_of(partner),
        message=_("The contract was added."),
        context={"partner": partner},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_PARTNERS)
def contract_change(request: HttpRequest, number: str) -> HttpResponse:
    """A contract's facts."""
    user = signed_in(request)
    contract = find_contract(user, number)
    require_may_edit(user)

    def fresh() -> ContractChangeForm:
        return ContractChangeForm(initial=ContractChangeForm.values_of(find_contract(user, number)))

    def save(data: dict[str, Any]) -> None:
        services.change_contract(
            actor=actor_of(request), by=user, contract=contract, now=timezone.now(), **data
        )

    return edit(
        request,
        "partners/contract_form.html",
        form=ContractChangeForm(request.POST) if request.method == "POST" else fresh(),
        save=save,
        fresh=fresh,
        done=_page_of(contract.partner),
        message=_("The contract was changed."),
        context={"partner": contract.partner, "contract": contract},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_PARTNERS)
def workspace_add(request: HttpRequest, number: str) -> HttpResponse:
    """A new workspace of a partner."""
    user = signed_in(request)
    partner = find_partner(user, number)
    require_may_edit(user)

    def save(data: dict[str, Any]) -> None:
        services.add_workspace(actor=actor_of(request), by=user, partner=partner, now=timezone.now(), **data)

    return edit(
        request,
        "partners/workspace_form.html",
        form=WorkspaceForm(posted(request)),
        save=save,
        done=_page_of(partner),
        message=_("The workspace was added."),
        context={"partner": partner},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_PARTNERS)
def workspace_change(request: HttpRequest, number: str) -> HttpResponse:
    """A workspace's facts."""
    user = signed_in(request)
    workspace = find_workspace(user, number)
    require_may_edit(user)

    def fresh() -> WorkspaceChangeForm:
        return WorkspaceChangeForm(initial=WorkspaceChangeForm.values_of(find_workspace(user, number)))

    def save(data: dict[str, Any]) -> None:
        services.change_workspace(
            actor=actor_of(request), by=user, workspace=workspace, now=timezone.now(), **data
        )

    # A zone outside the common ones stays choosable: the posted form knows the saved one, too.
    initial = {"time_zone": workspace.time_zone}
    return edit(
        request,
        "partners/workspace_form.html",
        form=WorkspaceChangeForm(request.POST, initial=initial) if request.method == "POST" else fresh(),
        save=save,
        fresh=fresh,
        done=_page_of(workspace.partner),
        message=_("The workspace was changed."),
        context={"partner": workspace.partner, "workspace": workspace},
    )
