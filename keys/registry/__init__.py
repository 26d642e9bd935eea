"""The list of keys and a key's page: filters, search, export, the acts on the page (K4, K5)."""
