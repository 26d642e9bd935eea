"""The data plane: answers gateways on every call whether a key may do this now."""
