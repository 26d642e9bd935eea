"""Answers that were not their person's, and consent that was taken back (A7, A9)."""
