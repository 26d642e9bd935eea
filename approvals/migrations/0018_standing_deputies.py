import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# Once a step is escalated: first the standing deputies, then those of the role (A5).
BOTH_KINDS = """
CREATE OR REPLACE FUNCTION approvals_decision_in_whose_name() RETURNS trigger LANGUAGE plpgsql AS $$
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
        IF NOT EXISTS (
            SELECT 1 FROM approvals_step JOIN approvals_standingdeputy named ON named.deputy_id = NEW.staff_id
                WHERE approvals_step.id = NEW.step_id AND escalated_at IS NOT NULL
        ) AND NOT EXISTS (
            SELECT 1 FROM approvals_step JOIN approvals_roledeputy held ON held.staff_id = NEW.staff_id
                WHERE approvals_step.id = NEW.step_id AND deputies_at IS NOT NULL
        ) THEN
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
"""
ONE_KIND = """
CREATE OR REPLACE FUNCTION approvals_decision_in_whose_name() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""
# What was escalated before there were standing deputies was put before the role's at once.
AT_ONCE = "UPDATE approvals_step SET deputies_at = escalated_at WHERE escalated_at IS NOT NULL"


class Migration(migrations.Migration):
    """A person's standing deputy, whom an escalated step is put before first (A5)."""

    dependencies = [
        ('approvals', '0017_named_people_decide'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='step',
            name='deputies_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name='StandingDeputy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('named_at', models.DateTimeField()),
                ('deputy', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='standing_for', to=settings.AUTH_USER_MODEL)),
                ('giver', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='standing_deputy', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('giver', models.F('deputy')), _negated=True), name='approvals_standing_deputy_is_somebody_else')],
            },
        ),
        migrations.RunSQL(BOTH_KINDS, ONE_KIND),
        migrations.RunSQL(AT_ONCE, migrations.RunSQL.noop),
    ]
