"""Mail to the request address: read, kept, answered, and taken over into requests (R4)."""
