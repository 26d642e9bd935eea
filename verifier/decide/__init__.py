"""The verdict: warm, cold, degraded (V2, V3, V5)."""
