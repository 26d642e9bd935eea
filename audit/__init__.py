"""The audit log: recording, searching, showing events (L1–L3)."""
