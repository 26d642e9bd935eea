"""Contracts until 9999-12-31 have no end; a first day of before 2000 can't be counted with."""

from django.db import migrations

NO_END = "UPDATE partners_contract SET ends_on = '2999-12-31' WHERE ends_on > '2099-12-31'"
FIRST = "UPDATE partners_contract SET starts_on = '2000-01-01' WHERE starts_on < '2000-01-01' AND ends_on >= '2000-01-01'"


class Migration(migrations.Migration):

    dependencies = [
        ('partners', '0002_workspace_limits'),
    ]

    operations = [
        migrations.RunSQL([NO_END, FIRST], migrations.RunSQL.noop),
    ]
