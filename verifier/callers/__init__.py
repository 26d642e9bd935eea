"""Who asks: gateways and their credentials, blocked addresses (V8)."""
