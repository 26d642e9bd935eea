"""API products, plans, scopes."""
