"""Public numbers (`KB-0412`), drawn from PostgreSQL sequences: never reused, never a database id."""

from django.db import connection

SEQUENCES = {
    "ST": "public_staff",
    "PT": "public_partner",
    "CO": "public_contact",
    "CT": "public_contract",
    "WS": "public_workspace",
    "KB": "public_key",
    "KR": "public_request",
    "GW": "public_gateway",
    "DG": "public_delegation",
    "MR": "public_mail",
}


def next_public_id(prefix: str) -> str:
    """The next number of its kind, padded to four digits: `next_public_id("KB")` → `"KB-0412"`.

    A transaction that rolls back leaves a gap: numbers are unique, not gapless.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(%s)", [SEQUENCES[prefix]])
        (number,) = cursor.fetchone()
    return f"{prefix}-{number:04d}"
