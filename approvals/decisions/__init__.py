"""Deciding a step: queue, mail links, consent without an account, receipts, what follows (A1, A3, A4)."""
