from django.db import migrations

SEQUENCES = [
    "public_staff",
    "public_partner",
    "public_contact",
    "public_contract",
    "public_workspace",
    "public_key",
    "public_request",
    "public_gateway",
]


class Migration(migrations.Migration):
    """One sequence for each kind of public number (`KB-0412`)."""

    initial = True
    dependencies = []
    operations = [
        migrations.RunSQL(f"CREATE SEQUENCE {name}", f"DROP SEQUENCE {name}") for name in SEQUENCES
    ]
