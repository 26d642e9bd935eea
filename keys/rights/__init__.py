"""What a key may do at a moment: lifecycle, limits, retirement's and quarantine's schedule."""
