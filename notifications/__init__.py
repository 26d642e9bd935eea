"""The outbox: what is told to whom, kept with the change that it tells of, and sent afterwards (N1)."""
