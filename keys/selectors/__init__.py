"""Data for the pages of keys."""
