"""The pages of gateways and of blocked addresses (V8)."""
