"""Pages of gateways (V8): who may ask the verifier, and with which credentials."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import require, require_recent_second_factor, signed_in
from accounts.roles import Permission
from core.actors import actor_of
from verifier.portal import services
from verifier.portal.forms import GatewayForm
from verifier.portal.selectors import credential_rows, find_gateway, gateway_rows


@require_safe
@require(Permission.SEE_GATEWAYS)
def gateway_list(request: HttpRequest) -> HttpResponse:
    """Every gateway."""
    return render(request, "verifier/gateway_list.html", {"rows": gateway_rows(timezone.now())})


@require_safe
@require(Permission.SEE_GATEWAYS)
def gateway_detail(request: HttpRequest, number: str) -> HttpResponse:
    """One gateway with its credentials, the danger zone last."""
    gateway = find_gateway(number)
    context = {
        "gateway": gateway,
        "credentials": credential_rows(gateway, timezone.now()),
        "verifier_url": settings.VERIFIER_URL or settings.PORTAL_URL,
    }
    return render(request, "verifier/gateway_detail.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@require(Permission.MANAGE_GATEWAYS)
@require_recent_second_factor
def gateway_add(request: HttpRequest) -> HttpResponse:
    """Add a gateway; the answer shows its credential, this once."""
    form = GatewayForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        issued = services.add_gateway(
            actor=actor_of(request), by=signed_in(request), now=timezone.now(), **form.cleaned_data
        )
        return _show_once(request, issued, replaces=False)
    return render(request, "verifier/gateway_form.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@require(Permission.MANAGE_GATEWAYS)
@require_recent_second_factor
def gateway_change(request: HttpRequest, number: str) -> HttpResponse:
    """Change a gateway's settings."""
    gateway = find_gateway(number)
    initial = {name: getattr(gateway, name) for name in GatewayForm.base_fields}
    form = GatewayForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        services.change_gateway(
            actor=actor_of(request),
            by=signed_in(request),
            gateway=gateway,
            now=timezone.now(),
            **form.cleaned_data,
        )
        messages.success(request, gettext("The gateway was saved. It is in force within seconds."))
        return redirect("verifier:gateway-detail", number)
    context = {"form": form, "gateway": gateway}
    return render(request, "verifier/gateway_form.html", context, status=422 if form.errors else 200)


@never_cache
@require_POST
@require(Permission.MANAGE_GATEWAYS)
@require_recent_second_factor
def credential_rotate(request: HttpRequest, number: str) -> HttpResponse:
    """Make the next credential; the answer shows it, this once."""
    issued = services.rotate_credential(
        actor=actor_of(request), by=signed_in(request), gateway=find_gateway(number), now=timezone.now()
    )
    return _show_once(request, issued, replaces=True)


@require_POST
@require(Permission.MANAGE_GATEWAYS)
@require_recent_second_factor
def credential_revoke(request: HttpRequest, number: str, credential_id: str) -> HttpResponse:
    """End one credential at once."""
    services.revoke_credential(
        actor=actor_of(request),
        by=signed_in(request),
        gateway=find_gateway(number),
        credential_id=credential_id,
        now=timezone.now(),
    )
    messages.success(request, gettext("The credential is revoked. It is refused within seconds."))
    return redirect("verifier:gateway-detail", number)


@require_POST
@require(Permission.MANAGE_GATEWAYS)
@require_recent_second_factor
def gateway_disable(request: HttpRequest, number: str) -> HttpResponse:
    """Refuse a gateway with all its credentials."""
    gateway = find_gateway(number)
    if request.POST.get("confirm", "").strip() != gateway.public_id:
        messages.error(request, gettext("Type the gateway's number exactly as it is written."))
        return redirect("verifier:gateway-detail", number)
    services.disable_gateway(
        actor=actor_of(request), by=signed_in(request), gateway=gateway, now=timezone.now()
    )
    messages.success(request, gettext("The gateway is disabled. It is refused within seconds."))
    return redirect("verifier:gateway-detail", number)


def _show_once(request: HttpRequest, issued: services.Issued, *, replaces: bool) -> HttpResponse:
    # Shown in the answer itself: no session, no redirect, no log ever holds it.
    context = {"gateway": issued.gateway, "text": issued.text, "replaces": replaces}
    return render(request, "verifier/credential_shown.html", context)
