"""What is agreed for a key: its terms, checks, settings."""
