"""The verifier's own server: connections, heads, the fast path of warm checks."""
