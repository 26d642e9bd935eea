"""What is asked and answered: question, codes, ids of checks (V1)."""
