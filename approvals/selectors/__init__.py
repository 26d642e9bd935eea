"""Data for the pages of requests and approvals."""
