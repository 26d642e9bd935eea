from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.utils import timezone

SHORT_STEP = {
    "role": "pm_or_security",
    "why": "change_tightens",
    "when": [{"fact": "change", "op": "is", "value": "tightens"}],
}
NOT_A_TIGHTENING = {"fact": "change", "op": "is_not", "value": "tightens"}


def with_changes(rules: dict[str, Any]) -> dict[str, Any]:
    """The rules with the short path beside them: what only tightens takes one look, all else goes as before."""
    whole = [{**step, "when": [*step["when"], NOT_A_TIGHTENING]} for step in rules["steps"]]
    return {**rules, "steps": [SHORT_STEP, *whole]}


def add_short_path(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The next version of whatever policy is in force (R3). Requests keep the version they went under."""
    PolicyVersion = apps.get_model("approvals", "PolicyVersion")
    now = timezone.now()
    versions = PolicyVersion.objects.order_by("-number")
    in_force = versions.filter(in_force_from__lte=now).first()
    newest = versions.first()
    if in_force is None or newest is None:
        return
    # On an empty database the history that a demo or an import brings along goes by these rules, too.
    fresh = not apps.get_model("approvals", "Request").objects.exists()
    PolicyVersion.objects.create(
        number=newest.number + 1,
        rules=with_changes(in_force.rules),
        in_force_from=in_force.in_force_from if fresh else now,
        created_at=now,
    )


class Migration(migrations.Migration):
    """A change that only tightens needs one approval, by a PM or security."""

    dependencies = [("approvals", "0005_pm_or_security")]
    operations = [migrations.RunPython(add_short_path, migrations.RunPython.noop)]
