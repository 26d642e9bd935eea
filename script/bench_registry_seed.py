"""Fills an empty registry with keys for `script/bench registry`, set-based: a million in two minutes."""

import sys
import time
from typing import Any

import django

django.setup()

from django.db import connection, models, transaction
from django.utils import timezone

from accounts.models import User
from keys.models import ApiProduct, Key, KeyUseDay, Plan, Secret
from partners.models import Contact, Contract, Partner, Workspace
from script.bench_seed import new_key, new_secret

N_PARTNERS, N_STAFF = 2_000, 200
# One partner and one owner have a tenth of all keys each; two in five have ended, the older ones mostly.
PARTNER = f"CASE WHEN n %% 10 = 0 THEN 1 ELSE 2 + (n * 7919) %% {N_PARTNERS - 1} END"
OWNER = f"CASE WHEN n %% 10 = 5 THEN 1 ELSE 2 + (n * 104729) %% {N_STAFF - 1} END"
STATUS = """
CASE WHEN random() < 0.8 * (1 - n / %(n)s::float)
     THEN CASE WHEN n %% 3 = 0 THEN 'revoked' ELSE 'expired' END
     WHEN n %% 100 < 3 THEN 'pending' WHEN n %% 1000 < 31 THEN 'retiring' WHEN n %% 100 < 6 THEN 'suspended'
     ELSE 'active' END
"""
KEYS = """
WITH drawn AS MATERIALIZED (
  SELECT n, {status} AS status, {partner} AS partner, {owner} AS owner,
    random() AS dice, random() AS age, random() AS place, random() AS turn
  FROM generate_series(2::bigint, %(n)s) AS n
), dated AS MATERIALIZED (
  SELECT *, status IN ('revoked', 'expired') AS ended,
    now() - make_interval(secs => 86400.0 * 900 * (1 - n / %(n)s::float)) - interval '2 hours' AS issued
  FROM drawn
)
INSERT INTO keys_key ({columns})
SELECT {values} FROM dated JOIN keys_key AS one ON one.id = 1
JOIN partners_partner AS partner ON partner.id = dated.partner
JOIN accounts_user AS owner ON owner.id = dated.owner
"""
KEY: dict[str, str] = {
    "public_id": "'KB-' || lpad(n::text, 7, '0')",
    "family": "lpad(n::text, 8, '0')",
    "name": "partner.name || ' ' || (ARRAY['配送追跡', 'Fan club', '在庫照会', 'Tickets'])[1 + n %% 4]",
    "status": "dated.status",
    "revoke_reason": "CASE WHEN dated.status = 'revoked' THEN 'leaked' ELSE '' END",
    "partner_id": "partner.id",
    "workspace_id": "partner.id",
    "contract_id": "partner.id",
    "recipient_id": "partner.id",
    "owner_id": "owner.id",
    "environment": "(ARRAY['live', 'live', 'test', 'dev'])[1 + (place * 4)::int %% 4]",
    "issued_at": "issued",
    "activated_at": "CASE WHEN dated.status <> 'pending' THEN issued + interval '1 hour' END",
    "expires_at": """CASE
        WHEN ended THEN greatest(issued + interval '1 day', now() - interval '1 day' * age * 400)
        ELSE now() + interval '1 hour' + interval '1 day' * age * 365 END""",
    "rotation_due_on": "CASE WHEN NOT ended THEN current_date + (turn * 90)::int - 1 END",
    "retires_at": "CASE WHEN dated.status = 'retiring' THEN now() + interval '30 minutes' END",
    "retiring_from": "CASE WHEN dated.status = 'retiring' THEN issued END",
    "suspended_at": "CASE WHEN dated.status = 'suspended' THEN now() END",
    "ended_at": "CASE WHEN ended THEN now() - interval '1 day' * age * 400 END",
    "last_used_at": """CASE WHEN dated.status = 'pending' OR dice < 0.1 THEN NULL
        WHEN ended THEN now() - interval '1 day' * (age * 400 + 1)
        WHEN dice < 0.97 THEN now() - interval '1 hour' * 100 * dice * dice
        ELSE now() - interval '1 day' * age * 120 END""",
    "search_text": """lower('KB-' || lpad(n::text, 7, '0') || ' ' || partner.name || ' '
        || (ARRAY['配送追跡', 'fan club', '在庫照会', 'tickets'])[1 + n %% 4] || ' ' || owner.name)""",
    "partner_name": "partner.name",
    "owner_name": "owner.name",
}
SECRET = {
    "key_id": "key.id",
    "public_id": "'S' || lpad(key.id::text, 11, '0')",
    "digest": "sha256(key.id::text::bytea)",
    "hint": "right(md5(key.id::text), 4)",
}
SECRETS = """
INSERT INTO keys_secret ({columns}) SELECT {values}
FROM keys_key AS key, keys_secret AS one WHERE key.id > 1 AND one.id = 1
"""
DAY = {"key_id": "key.id", "day": "current_date - back", "n_allowed": "back * 7"}
DAYS = """
INSERT INTO keys_keyuseday ({columns}) SELECT {values}
FROM keys_key AS key, generate_series(1, 30) AS back, keys_keyuseday AS one
WHERE key.id % 10 = 0 AND one.id = 1
"""
TABLES = ["keys_key", "keys_key_products", "keys_secret", "keys_keyuseday"]


def main(n_keys: int) -> None:
    """Partners, people and so many keys, each with a secret and a product; a tenth with a month of use."""
    started = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL session_replication_role = replica; SET LOCAL maintenance_work_mem = '512MB'"
        )
        make_others()
        indexes = take_indexes(cursor)
        cursor.execute("SELECT setseed(0.5)")
        sql = KEYS.format(status=STATUS, partner=PARTNER, owner=OWNER, **_copied(Key, KEY, "one"))
        cursor.execute(sql, {"n": n_keys})
        cursor.execute(SECRETS.format(**_copied(Secret, SECRET, "one")))
        cursor.execute(
            "INSERT INTO keys_key_products (key_id, apiproduct_id) SELECT id, 1 + id % 3 FROM keys_key"
        )
        cursor.execute(DAYS.format(**_copied(KeyUseDay, DAY, "one")))
        for statement in indexes:
            cursor.execute(statement)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    print(f"{n_keys:,} keys of {N_PARTNERS:,} partners in {time.monotonic() - started:.0f} s", flush=True)


def make_others() -> None:
    """Who keys are for and whose they are; and one key, the pattern of the others."""
    now = timezone.now()
    User.objects.bulk_create(
        User(id=n, public_id=f"ST-{n:04}", email=f"{n}@kagiban.example", name=f"担当 {n * 7919 % N_STAFF:03}",
             roles=["ops", "pm", "security"] if n == 1 else ["pm"])
        for n in range(1, N_STAFF + 1)
    )  # fmt: skip
    numbers = range(1, N_PARTNERS + 1)
    Partner.objects.bulk_create(
        Partner(
            id=n,
            public_id=f"PT-{n:04}",
            kind="company",
            name=f"取引先 {n * 4801 % N_PARTNERS:04}",
            created_at=now,
        )
        for n in numbers
    )
    Contact.objects.bulk_create(
        Contact(id=n, public_id=f"CO-{n:04}", partner_id=n, name="Bench", email="b@partner.example")
        for n in numbers
    )
    Workspace.objects.bulk_create(
        Workspace(id=n, public_id=f"WS-{n:04}", partner_id=n, code=f"w-{n}", name="Bench") for n in numbers
    )
    Contract.objects.bulk_create(
        Contract(id=n, public_id=f"CT-{n:04}", partner_id=n, title="Bench", monthly_amount_jpy=1,
                 starts_on=now.date(), ends_on=now.date(), licence_level="public", terms_version="1",
                 created_at=now)
        for n in numbers
    )  # fmt: skip
    plan = Plan.objects.create(code="bench", name="Bench", level="standard", max_rpm=1, max_rph=1)
    for n in (1, 2, 3):
        ApiProduct.objects.create(id=n, code=f"product-{n}", name=f"Product {n}")
    space = Workspace.objects.get(pk=1)
    key = new_key(
        1,
        space,
        now,
        partner_id=1,
        recipient_id=1,
        owner_id=1,
        contract_id=1,
        plan=plan,
        rpm=60,
        rph=600,
    )
    key.save(force_insert=True)
    _text, secret = new_secret(key, now)
    secret.save(force_insert=True)
    KeyUseDay.objects.create(key=key, day=now.date(), n_allowed=1)


def take_indexes(cursor: Any) -> list[str]:
    """Drop the indexes of the big tables that no constraint needs; the statements that make them again."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes LEFT JOIN pg_constraint ON conname = indexname"
        " WHERE tablename = ANY(%s) AND conname IS NULL",
        [TABLES],
    )
    found = cursor.fetchall()
    for name, _statement in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [statement for _name, statement in found]


def _copied(model: type[models.Model], ours: dict[str, str], pattern: str) -> dict[str, str]:
    """The columns of a table, and for each our own value or that of the pattern's row."""
    fields = [field for field in model._meta.concrete_fields if not field.generated]  # noqa: SLF001 - Django documents it
    columns = [str(field.column) for field in fields if not field.primary_key]
    assert ours.keys() <= set(columns), ours.keys() - set(columns)
    values = [ours.get(column, f"{pattern}.{column}") for column in columns]
    return {"columns": ", ".join(columns), "values": ", ".join(values)}


if __name__ == "__main__":
    main(int(sys.argv[1]))
