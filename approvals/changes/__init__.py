"""Changing a key: what differs, applying it, rolling it back, the look afterwards (R3)."""
