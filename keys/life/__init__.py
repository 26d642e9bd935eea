"""Issuing, changing, retirement, quarantine, reminders (K6-K9)."""
