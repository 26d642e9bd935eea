"""The environment of a test run: settings come from it here as they do in production."""

# The two servers' URLs are not here: each run starts its own (tests/servers.py).
ENVIRONMENT = {
    "SECRET_KEY": "a key of the tests only, long enough that `check --deploy` does not mind it",
    "API_KEY_HASH_SECRET": f"1:{'a1' * 32},2:{'a2' * 32}",
    "LINK_SECRET": f"1:{'b1' * 32}",
    "FIELD_SECRET": f"1:{'c1' * 32}",
    "DEBUG": "0",
    "DEMO": "0",
    "STATIC_FROM_SOURCE": "1",
    # A busy machine is no database that hangs; the test of one that does says how long it waits.
    "VERIFIER_DATABASE_SECONDS": "30",
    # Nor is it a store that does not answer.
    "HOT_STORE_SECONDS": "1.5",
    # The cheapest Argon2 there is; what the real parameters cost is measured elsewhere.
    "ARGON2_MEMORY_KIB": "64",
    "ARGON2_TIME_COST": "1",
}
