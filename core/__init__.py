"""Domain-free pieces: errors, actors, sealing, public numbers, keyset pages, background sends."""
