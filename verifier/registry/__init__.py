"""The way to the database, for threads that must not wait long (V5)."""
