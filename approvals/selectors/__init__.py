"""Data for the pages of requests and approvals."""

from approvals.selectors.receipts import RECEIPT_SALT, receipt_url

__all__ = ["RECEIPT_SALT", "receipt_url"]
