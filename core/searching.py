"""What a person types to find rows: each of its words has to be found, be it in another column."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from core.parsing import search_words

Row = TypeVar("Row", bound=Model)


def with_words(
    rows: QuerySet[Row],
    text: str,
    *,
    texts: Sequence[str],
    number: str = "public_id",
    also: Callable[[str], Q] | None = None,
) -> QuerySet[Row]:
    """Rows in which each word is the `number`, stands in one of `texts`, or is found by `also`.

    Case does not matter. All rows where there is no word. Columns may be of a row that these point at, not
    of several.
    """
    for word in search_words(text):
        found = Q((f"{number}__iexact", word))
        for column in texts:
            found |= Q((f"{column}__icontains", word))
        rows = rows.filter(found | also(word) if also else found)
    return rows
