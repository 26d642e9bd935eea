"""Asking for a key: the form, drafts, revisions, what will be needed, the story (R1, R2, R5, R6)."""
