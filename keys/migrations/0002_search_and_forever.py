from django.db import migrations

# Search without an extension (embedded PostgreSQL has no pg_trgm): every two neighbouring characters of the text
# as an array under a GIN index. It serves Japanese, which has no spaces to split at, as well as English.
SEARCH = """
CREATE FUNCTION kagiban_bigrams(t text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT substr(t, i, 2)), '{}')
    FROM generate_series(1, length(t) - 1) AS i
$$;
CREATE INDEX keys_key_search ON keys_key USING gin (kagiban_bigrams(search_text));
"""
NO_SEARCH = """
DROP INDEX keys_key_search;
DROP FUNCTION kagiban_bigrams(text);
"""

# K1: a key_id is never used again and the digest of every secret ever issued stays.
FOREVER = """
CREATE FUNCTION keys_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% keeps every row for ever', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER keys_secret_for_ever BEFORE DELETE ON keys_secret
    FOR EACH ROW EXECUTE FUNCTION keys_refuse_delete();
CREATE FUNCTION keys_refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a revoked or expired key never comes back' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER keys_key_no_revival BEFORE UPDATE OF status ON keys_key
    FOR EACH ROW WHEN (OLD.status IN ('revoked', 'expired') AND NEW.status <> OLD.status)
    EXECUTE FUNCTION keys_refuse_revival();
"""
NOT_FOREVER = """
DROP TRIGGER keys_key_no_revival ON keys_key;
DROP FUNCTION keys_refuse_revival();
DROP TRIGGER keys_secret_for_ever ON keys_secret;
DROP FUNCTION keys_refuse_delete();
"""


class Migration(migrations.Migration):
    """Search over the registry; secrets that stay for ever; ended keys that stay ended."""

    dependencies = [("keys", "0001_initial")]
    operations = [migrations.RunSQL(SEARCH, NO_SEARCH), migrations.RunSQL(FOREVER, NOT_FOREVER)]
