"""The catalogue's page."""

from django.db.models import Count, Q, QuerySet

from core.wording import is_japanese
from keys.models import ApiProduct, Scope
from keys.rights.lifecycle import RUNNING


def local_name(thing: ApiProduct | Scope) -> str:
    """The name of an API product or a scope in the reader's language."""
    return thing.name if is_japanese() else thing.name_en or thing.name


def products_with_counts() -> QuerySet[ApiProduct]:
    """All API products with their scopes and `n_keys`, the keys that open them now."""
    return ApiProduct.objects.prefetch_related("scopes").annotate(
        n_keys=Count("keys", filter=Q(keys__status__in=RUNNING))
    )
