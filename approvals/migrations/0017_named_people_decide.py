from django.db import migrations

# Where the policy names who decides a step, nobody else does, in their own name at least. Whoever stands in for
# a named person does; deputies of the role, once the step is escalated, are looked at by their own trigger (A2).
NAMED = """
CREATE FUNCTION approvals_decision_by_named_people() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    named varchar[];
BEGIN
    SELECT people INTO named FROM approvals_step WHERE id = NEW.step_id;
    IF NEW.staff_id IS NOT NULL AND NEW.basis <> 'escalation' AND cardinality(named) > 0 AND NOT EXISTS (
        SELECT 1 FROM accounts_user
            WHERE id = COALESCE(NEW.on_behalf_of_id, NEW.staff_id) AND public_id = ANY (named)
    ) THEN
        RAISE EXCEPTION 'the policy names who decides this step' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approvals_decision_named BEFORE INSERT ON approvals_decision
    FOR EACH ROW EXECUTE FUNCTION approvals_decision_by_named_people();
"""
ANYBODY = """
DROP TRIGGER approvals_decision_named ON approvals_decision;
DROP FUNCTION approvals_decision_by_named_people();
"""


class Migration(migrations.Migration):
    """A decision that is written past the services is by whom the policy names (A2)."""

    dependencies = [("approvals", "0016_doubt_asked_again"), ("accounts", "0001_initial")]
    operations = [migrations.RunSQL(NAMED, ANYBODY)]
