"""Delegation, reminders, escalation (A5)."""
