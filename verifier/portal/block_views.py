"""The page of blocked addresses (V3)."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import require, signed_in
from accounts.roles import Permission
from core.actors import actor_of
from core.errors import Invalid
from verifier.callers.blocking import block_address, lift_block
from verifier.callers.blocks import blocks, n_idle_blocks, past_blocks
from verifier.models import BlockedAddress
from verifier.portal.forms import BlockForm


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_GATEWAYS)
def block_list(request: HttpRequest) -> HttpResponse:
    """Who is blocked now and was before; the form below for those who may."""
    form = BlockForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            block = block_address(
                actor=actor_of(request), by=signed_in(request), now=timezone.now(), **form.cleaned_data
            )
        except Invalid as invalid:
            form.add_error(invalid.field, str(invalid.message))
        else:
            said = _("%(network)s is blocked. Keys from there are refused within three seconds.")
            messages.success(request, said % {"network": block.network})
            return redirect("verifier:block-list")
    now = timezone.now()
    context = {
        "form": form,
        "blocks": blocks(now),
        "n_idle": n_idle_blocks(now),
        "most": BlockedAddress.MOST,
        "past": past_blocks(now),
    }
    return render(request, "verifier/block_list.html", context, status=422 if form.errors else 200)


@require_POST
@require(Permission.REVOKE_KEYS)
def block_lift(request: HttpRequest, number: int) -> HttpResponse:
    """Answer keys from there again."""
    block = lift_block(actor=actor_of(request), by=signed_in(request), number=number, now=timezone.now())
    said = _("The block of %(network)s is lifted. Keys from there are answered within three seconds.")
    messages.success(request, said % {"network": block.network})
    return redirect("verifier:block-list")
