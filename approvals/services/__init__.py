"""The operations on requests: drafting and submitting, the path of steps, decisions, consent, links."""
