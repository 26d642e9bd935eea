"""Django's backend for PostgreSQL, for threads that do not wait for ever (`core.patience`)."""
