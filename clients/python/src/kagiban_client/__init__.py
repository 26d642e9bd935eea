"""Asks a Kagiban verifier whether an API key may do this, now."""

from kagiban_client.cache import Cache
from kagiban_client.client import Client
from kagiban_client.errors import BadQuestionError, KagibanError, NotAllowedError, UnavailableError
from kagiban_client.guard import Guard
from kagiban_client.keyform import is_key, mask
from kagiban_client.reporter import Reporter
from kagiban_client.usage import Outcome, Receipt
from kagiban_client.verdict import Limits, Needs, Question, Remaining, Verdict

__all__ = [
    "BadQuestionError",
    "Cache",
    "Client",
    "Guard",
    "KagibanError",
    "Limits",
    "Needs",
    "NotAllowedError",
    "Outcome",
    "Question",
    "Receipt",
    "Remaining",
    "Reporter",
    "UnavailableError",
    "Verdict",
    "is_key",
    "mask",
]
