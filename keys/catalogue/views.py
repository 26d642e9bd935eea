"""What keys can open: API products with their scopes, and plans with their limits. Reading only."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import require
from accounts.roles import Permission
from keys.catalogue.selectors import products_with_counts
from keys.models import Plan


@require_safe
@require(Permission.SEE_KEYS)
def product_list(request: HttpRequest) -> HttpResponse:
    """The catalogue."""
    context = {"products": products_with_counts(), "plans": Plan.objects.all()}
    return render(request, "keys/product_list.html", context)
