"""The catalogue's page."""

from django.db.models import Count, Q, QuerySet

from keys.lifecycle import RUNNING
from keys.models import ApiProduct


def products_with_counts() -> QuerySet[ApiProduct]:
    """All API products with their scopes and `n_keys`, the keys that open them now."""
    return ApiProduct.objects.prefetch_related("scopes").annotate(
        n_keys=Count("keys", filter=Q(keys__status__in=RUNNING))
    )
