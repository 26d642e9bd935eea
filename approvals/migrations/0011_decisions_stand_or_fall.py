from django.db import migrations

# A decision is never changed, but for one transition: it falls, once and for good, with a newer revision of its
# request. So whoever writes beside the services can't make the approvals of the newest revision fall (A6).
FALLS_ONCE = """
CREATE FUNCTION approvals_decision_only_falls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - 'fallen_at' - 'fell_with_id' <> to_jsonb(OLD) - 'fallen_at' - 'fell_with_id'
            OR OLD.fallen_at IS NOT NULL OR NEW.fallen_at IS NULL THEN
        RAISE EXCEPTION '% is never changed: % refused', TG_TABLE_NAME, TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM 1 FROM approvals_revision later
        JOIN approvals_step step ON step.id = NEW.step_id
        JOIN approvals_revision decided ON decided.id = step.revision_id
        WHERE later.id = NEW.fell_with_id AND later.request_id = NEW.request_id
            AND later.number > decided.number
            AND later.number = (SELECT max(number) FROM approvals_revision WHERE request_id = NEW.request_id);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a decision falls with a newer revision only' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT 1 FROM approvals_standing standing JOIN approvals_step step ON step.id = standing.step_id
            WHERE standing.decision_id = NEW.id AND step.revision_id = NEW.fell_with_id
    ) THEN
        RAISE EXCEPTION 'the decision stands on this revision' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER approvals_decision_no_change ON approvals_decision;
CREATE TRIGGER approvals_decision_no_change BEFORE DELETE ON approvals_decision
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_change();
CREATE TRIGGER approvals_decision_only_falls BEFORE UPDATE ON approvals_decision
    FOR EACH ROW EXECUTE FUNCTION approvals_decision_only_falls();
"""
NEVER_CHANGES = """
DROP TRIGGER approvals_decision_only_falls ON approvals_decision;
DROP FUNCTION approvals_decision_only_falls();
DROP TRIGGER approvals_decision_no_change ON approvals_decision;
CREATE TRIGGER approvals_decision_no_change BEFORE UPDATE OR DELETE ON approvals_decision
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_change();
"""

# An approval stands for a step of a newer revision only while it is in force, for the same role, on that
# revision's digest, and never one more than the step needs (A6).
STANDS = """
CREATE FUNCTION approvals_standing_is_true() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    step approvals_step%ROWTYPE;
    decision approvals_decision%ROWTYPE;
BEGIN
    SELECT * INTO step FROM approvals_step WHERE id = NEW.step_id FOR UPDATE;
    SELECT * INTO decision FROM approvals_decision WHERE id = NEW.decision_id FOR UPDATE;
    IF step.request_id <> decision.request_id OR step.state NOT IN ('waiting', 'stands')
            OR step.contact_id IS DISTINCT FROM decision.contact_id THEN
        RAISE EXCEPTION 'the decision is not for this step' USING ERRCODE = 'check_violation';
    END IF;
    IF decision.outcome <> 'approve' OR decision.fallen_at IS NOT NULL THEN
        RAISE EXCEPTION 'the decision is no approval in force' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM 1 FROM approvals_step earlier
        JOIN approvals_revision decided ON decided.id = earlier.revision_id
        JOIN approvals_revision ours ON ours.id = step.revision_id
        WHERE earlier.id = decision.step_id AND earlier.role = step.role AND decided.number < ours.number
            AND ours.digest = NEW.digest;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the decision was for another role or on a later revision'
            USING ERRCODE = 'check_violation';
    END IF;
    IF (SELECT count(*) FROM approvals_standing WHERE step_id = step.id) >= step.n_needed THEN
        RAISE EXCEPTION 'the step has all its decisions' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approvals_standing_is_true BEFORE INSERT ON approvals_standing
    FOR EACH ROW EXECUTE FUNCTION approvals_standing_is_true();
CREATE TRIGGER approvals_standing_no_change BEFORE UPDATE OR DELETE ON approvals_standing
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_change();
"""
NOTHING_STANDS = """
DROP TRIGGER approvals_standing_no_change ON approvals_standing;
DROP TRIGGER approvals_standing_is_true ON approvals_standing;
DROP FUNCTION approvals_standing_is_true();
"""

# As before, and: what stands counts, nobody decides for two roles of one request, whatever has fallen since.
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
    IF NEW.fallen_at IS NOT NULL THEN
        RAISE EXCEPTION 'a decision begins in force' USING ERRCODE = 'check_violation';
    END IF;
    IF (SELECT count(*) FROM approvals_decision WHERE step_id = step.id)
            + (SELECT count(*) FROM approvals_standing WHERE step_id = step.id) >= step.n_needed THEN
        RAISE EXCEPTION 'the step has all its decisions' USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT 1 FROM approvals_decision earlier JOIN approvals_step theirs ON theirs.id = earlier.step_id
            WHERE earlier.request_id = NEW.request_id
                AND (
                    (theirs.role <> step.role
                        AND (earlier.staff_id IN (NEW.staff_id, NEW.on_behalf_of_id)
                            OR earlier.on_behalf_of_id IN (NEW.staff_id, NEW.on_behalf_of_id)
                            OR earlier.contact_id = NEW.contact_id))
                    OR (earlier.fallen_at IS NULL
                        AND (earlier.staff_id = NEW.on_behalf_of_id
                            OR earlier.on_behalf_of_id IN (NEW.staff_id, NEW.on_behalf_of_id)))
                )
    ) THEN
        RAISE EXCEPTION 'approvals_decision_one_step_each: this person has a part in another decision'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'approvals_decision_one_step_each';
    END IF;
    RETURN NEW;
END $$;
"""
AS_BEFORE = """
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


class Migration(migrations.Migration):
    """What a later revision touches falls, what it leaves alone stands, and nothing else moves (A6)."""

    dependencies = [("approvals", "0010_revisions")]
    operations = [
        migrations.RunSQL(STANDS, NOTHING_STANDS),
        migrations.RunSQL(FALLS_ONCE, NEVER_CHANGES),
        migrations.RunSQL(HONEST, AS_BEFORE),
    ]
