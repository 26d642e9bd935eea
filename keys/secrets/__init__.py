"""Secrets of keys: their form, their hashes, and how they are renewed."""
