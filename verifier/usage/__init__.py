"""Reports of gateways, draining counters, counting without the hot store (V6, V7)."""
