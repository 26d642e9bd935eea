from django.db import migrations

# The decision's copy of the requester is tied to the request by a composite foreign key, so that the check
# "not on one's own request" can't be deceived by a wrong copy (A4).
FOUR_EYES = """
ALTER TABLE approvals_decision
    ADD CONSTRAINT approvals_decision_requester_is_true
    FOREIGN KEY (request_id, requester_id_copy) REFERENCES approvals_request (id, requester_id);
"""
NO_FOUR_EYES = "ALTER TABLE approvals_decision DROP CONSTRAINT approvals_decision_requester_is_true;"

# What was submitted and what was decided is history: it is never rewritten (R5, A6).
IMMUTABLE = """
CREATE FUNCTION approvals_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is never changed: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER approvals_revision_no_change BEFORE UPDATE OR DELETE ON approvals_revision
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_change();
CREATE TRIGGER approvals_decision_no_change BEFORE UPDATE OR DELETE ON approvals_decision
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_change();
"""
MUTABLE = """
DROP TRIGGER approvals_decision_no_change ON approvals_decision;
DROP TRIGGER approvals_revision_no_change ON approvals_revision;
DROP FUNCTION approvals_refuse_change();
"""

# A decision is only for a step of its own request, while that step is open; the step's row is locked by the
# service, so this holds whatever runs beside it (A10).
OPEN_STEP = """
CREATE FUNCTION approvals_decision_needs_open_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM approvals_step
        WHERE id = NEW.step_id AND request_id = NEW.request_id AND state = 'open';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the step is not open' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approvals_decision_open_step BEFORE INSERT ON approvals_decision
    FOR EACH ROW EXECUTE FUNCTION approvals_decision_needs_open_step();
"""
ANY_STEP = """
DROP TRIGGER approvals_decision_open_step ON approvals_decision;
DROP FUNCTION approvals_decision_needs_open_step();
"""


class Migration(migrations.Migration):
    """The database refuses what the screen forbids (A4, A10)."""

    dependencies = [("approvals", "0001_initial")]
    operations = [
        migrations.RunSQL(FOUR_EYES, NO_FOUR_EYES),
        migrations.RunSQL(IMMUTABLE, MUTABLE),
        migrations.RunSQL(OPEN_STEP, ANY_STEP),
    ]
