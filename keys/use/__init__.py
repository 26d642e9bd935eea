"""What keys are used for: counters, outcomes, addresses, peaks, use after the end (V6)."""
