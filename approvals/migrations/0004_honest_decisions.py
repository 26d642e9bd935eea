from django.db import migrations

# A decision is for an open step of its own request, by somebody whom that step asks, on exactly what was
# submitted, and never one more than the step needs. The step's row is locked here too, so that this holds for
# whoever writes beside the services (A4, A6, A10).
HONEST = """
CREATE OR REPLACE FUNCTION approvals_decision_needs_open_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    step approvals_step%ROWTYPE;
BEGIN
    SELECT * INTO step FROM approvals_step WHERE id = NEW.step_id FOR UPDATE;
    IF NOT FOUND OR step.request_id <> NEW.request_id OR step.state <> 'open' THEN
        RAISE EXCEPTION 'the step is not open' USING ERRCODE = 'check_violation';
    END IF;
    IF step.contact_id IS DISTINCT FROM NEW.contact_id THEN
        RAISE EXCEPTION 'the step does not ask this person' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.digest <> (SELECT digest FROM approvals_revision WHERE id = step.revision_id) THEN
        RAISE EXCEPTION 'the decision is on other terms' USING ERRCODE = 'check_violation';
    END IF;
    IF (SELECT count(*) FROM approvals_decision WHERE step_id = step.id) >= step.n_needed THEN
        RAISE EXCEPTION 'the step has all its decisions' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
OPEN_ONLY = """
CREATE OR REPLACE FUNCTION approvals_decision_needs_open_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM approvals_step
        WHERE id = NEW.step_id AND request_id = NEW.request_id AND state = 'open';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the step is not open' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    """A decision that is written past the services is held to the same rules (A4, A10)."""

    dependencies = [("approvals", "0003_first_policy")]
    operations = [migrations.RunSQL(HONEST, OPEN_ONLY)]
