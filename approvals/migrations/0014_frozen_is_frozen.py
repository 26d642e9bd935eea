from django.db import migrations

# A frozen request takes no decision, whoever writes (A7). The request's row is locked by the services.
FROZEN = """
CREATE FUNCTION approvals_decision_not_while_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM approvals_request WHERE id = NEW.request_id AND frozen_at IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'the request is frozen' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approvals_decision_not_frozen BEFORE INSERT ON approvals_decision
    FOR EACH ROW EXECUTE FUNCTION approvals_decision_not_while_frozen();
"""
NOT_FROZEN = """
DROP TRIGGER approvals_decision_not_frozen ON approvals_decision;
DROP FUNCTION approvals_decision_not_while_frozen();
"""

# What was signed is history, as a decision is (A9); a receipt belongs to one decision for ever.
IMMUTABLE = """
CREATE TRIGGER approvals_withdrawal_no_change BEFORE UPDATE OR DELETE ON approvals_consentwithdrawal
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_change();
CREATE TRIGGER approvals_receipt_no_change BEFORE UPDATE OR DELETE ON approvals_decisionreceipt
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_change();
"""
MUTABLE = """
DROP TRIGGER approvals_receipt_no_change ON approvals_decisionreceipt;
DROP TRIGGER approvals_withdrawal_no_change ON approvals_consentwithdrawal;
"""


class Migration(migrations.Migration):
    """The database keeps a frozen request frozen, and a withdrawal as it was signed (A7, A9)."""

    dependencies = [("approvals", "0013_receipts_and_doubts")]
    operations = [
        migrations.RunSQL(FROZEN, NOT_FROZEN),
        migrations.RunSQL(IMMUTABLE, MUTABLE),
    ]
