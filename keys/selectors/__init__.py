"""Data for the registry's pages: search, rows with their condition, one key's page."""

from keys.selectors.search import search_text_of

__all__ = ["search_text_of"]
