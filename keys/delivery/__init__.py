"""The link, the reveal, the self-test (K3)."""
