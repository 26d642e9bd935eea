"""Break-glass: a key that is issued before its approvals (A8)."""
