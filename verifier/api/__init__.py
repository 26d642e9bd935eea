"""The WSGI entry, its answers, the OpenAPI document (V1, V9)."""
