from datetime import UTC, datetime

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.utils import timezone

RULES = {
    "steps": [
        {"role": "pm", "why": "always", "when": []},
        {
            "role": "rights_holder",
            "why": "partner_is_rights_holder",
            "when": [{"fact": "partner_kind", "op": "is", "value": "rights_holder"}],
        },
        {
            "role": "legal",
            "why": "contract_reviewed",
            "when": [{"fact": "is_internal_without_contract", "op": "is", "value": False}],
        },
        {"role": "tech", "why": "identity_checked", "when": []},
        {
            "role": "coo",
            "why": "amount_over_threshold",
            "when": [{"fact": "monthly_amount_jpy", "op": "more_than", "value": 500_000}],
            "second_factor": True,
        },
    ]
}


def make_first_policy(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Version 1 of the path, as A1 has it. In force from long ago, so that back-dated history has a policy."""
    PolicyVersion = apps.get_model("approvals", "PolicyVersion")
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    PolicyVersion.objects.create(number=1, rules=RULES, in_force_from=long_ago, created_at=timezone.now())


class Migration(migrations.Migration):
    """The approval path that every installation begins with."""

    dependencies = [("approvals", "0002_four_eyes")]
    operations = [migrations.RunPython(make_first_policy, migrations.RunPython.noop)]
