import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SEQUENCE = ("CREATE SEQUENCE public_delegation", "DROP SEQUENCE public_delegation")

# Who decides in another's place really stands there, and a person has one part in a path, be it their own or
# by a deputy: this holds for whoever writes beside the services (A4, A5).
IN_WHOSE_NAME = """
CREATE FUNCTION approvals_decision_in_whose_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.basis = 'delegation' THEN
        PERFORM 1 FROM approvals_delegation
            WHERE id = NEW.delegation_id AND giver_id = NEW.on_behalf_of_id AND deputy_id = NEW.staff_id
                AND began_at IS NOT NULL AND ended_at IS NULL
                AND NEW.decided_at >= starts_at AND NEW.decided_at < ends_at
            FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no delegation in force allows this' USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NEW.basis = 'escalation' THEN
        IF NOT EXISTS (SELECT 1 FROM approvals_step WHERE id = NEW.step_id AND escalated_at IS NOT NULL)
            OR NOT EXISTS (SELECT 1 FROM approvals_roledeputy WHERE staff_id = NEW.staff_id) THEN
            RAISE EXCEPTION 'the step was not escalated to this person' USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    IF EXISTS (
        SELECT 1 FROM approvals_decision other
            JOIN approvals_step theirs ON theirs.id = other.step_id
            JOIN approvals_step ours ON ours.id = NEW.step_id
            WHERE other.request_id = NEW.request_id AND theirs.revision_id = ours.revision_id
                AND (other.staff_id = NEW.on_behalf_of_id
                    OR other.on_behalf_of_id IN (NEW.staff_id, NEW.on_behalf_of_id))
    ) THEN
        RAISE EXCEPTION 'this person has a part in another decision' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approvals_decision_whose_name BEFORE INSERT ON approvals_decision
    FOR EACH ROW EXECUTE FUNCTION approvals_decision_in_whose_name();
"""
IN_ANY_NAME = """
DROP TRIGGER approvals_decision_whose_name ON approvals_decision;
DROP FUNCTION approvals_decision_in_whose_name();
"""


class Migration(migrations.Migration):
    """Delegations, deputies for escalation, and reminders that are never sent twice (A5)."""

    dependencies = [
        ('approvals', '0008_steps_carry_their_rule'),
        ('partners', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='RoleDeputy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('pm', 'PM'), ('legal', 'Legal'), ('tech', 'Tech'), ('security', 'Security'), ('coo', 'COO')], max_length=20, verbose_name='role')),
                ('added_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['role', 'id'],
            },
        ),
        migrations.CreateModel(
            name='StepReminder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('person_ref', models.CharField(max_length=12)),
                ('hours', models.PositiveSmallIntegerField()),
                ('sent_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.AddField(
            model_name='decision',
            name='basis',
            field=models.CharField(choices=[('own', 'Own role'), ('delegation', 'Delegation'), ('escalation', 'Escalation')], db_default='own', default='own', max_length=10),
        ),
        migrations.AddField(
            model_name='decision',
            name='on_behalf_of',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='step',
            name='escalated_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name='Delegation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(max_length=12, unique=True)),
                ('role', models.CharField(choices=[('pm', 'PM'), ('legal', 'Legal'), ('tech', 'Tech'), ('security', 'Security'), ('coo', 'COO')], max_length=20, verbose_name='role')),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('note', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField()),
                ('began_at', models.DateTimeField(blank=True, null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('deputy', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='stands_in_by', to=settings.AUTH_USER_MODEL)),
                ('giver', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='delegations', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-starts_at', '-id'],
            },
        ),
        migrations.AddField(
            model_name='decision',
            name='delegation',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='approvals.delegation'),
        ),
        migrations.AddConstraint(
            model_name='decision',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('basis', 'delegation'), ('delegation__isnull', False), ('on_behalf_of__isnull', False)), models.Q(models.Q(('basis', 'delegation'), _negated=True), ('delegation__isnull', True), ('on_behalf_of__isnull', True)), _connector='OR'), name='approvals_decision_in_whose_name'),
        ),
        migrations.AddConstraint(
            model_name='decision',
            constraint=models.CheckConstraint(condition=models.Q(('on_behalf_of__isnull', True), models.Q(('on_behalf_of', models.F('requester_id_copy')), _negated=True), _connector='OR'), name='approvals_decision_not_for_requester'),
        ),
        migrations.AddField(
            model_name='roledeputy',
            name='staff',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='deputy_for', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='stepreminder',
            name='step',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reminders', to='approvals.step'),
        ),
        migrations.AddIndex(
            model_name='delegation',
            index=models.Index(condition=models.Q(('ended_at__isnull', True)), fields=['starts_at'], name='approvals_delegation_open'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(('giver', models.F('deputy')), _negated=True), name='approvals_delegation_to_somebody_else'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='approvals_delegation_ends_after_start'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.UniqueConstraint(condition=models.Q(('began_at__isnull', False), ('ended_at__isnull', True)), fields=('giver', 'role'), name='approvals_delegation_one_in_force'),
        ),
        migrations.AddConstraint(
            model_name='roledeputy',
            constraint=models.UniqueConstraint(fields=('role', 'staff'), name='approvals_role_deputy_once'),
        ),
        migrations.AddConstraint(
            model_name='stepreminder',
            constraint=models.UniqueConstraint(fields=('step', 'person_ref', 'hours'), name='approvals_step_reminder_once'),
        ),
        migrations.RunSQL(*SEQUENCE),
        migrations.RunSQL(IN_WHOSE_NAME, IN_ANY_NAME),
    ]
