"""The operations on keys that change state, by noun: issuing, delivery, status, use."""
