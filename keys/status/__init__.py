"""Saving a key, and its status: suspend, reactivate, revoke, expire (K6, K8)."""
