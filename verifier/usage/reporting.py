"""`POST /v1/usage`: gateways report how calls ended; budgets settle, places are freed (V3, V7).

Reports are taken in a thread, few in one call of the hot store, so that warm checks go on between them.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import Error as DatabaseFailure

from keys.hotstore import client as hotwire
from keys.hotstore.record import record_key, reported_key, settled_key, shared_key, tag_of, use_key
from keys.models import Key
from keys.secrets.form import BUCKET_LENGTH
from verifier.callers.gateways import Caller
from verifier.contract.question import TWICE, BadQuestionError, read_json
from verifier.registry.reading import UnavailableError, for_known
from verifier.usage.reports import Report, WrongRowError, read_report

MAX_ROWS: Final = 500
# 500 reports with every field at its longest.
MAX_BODY: Final = 256 * 1024
# A call of so many reports holds the store as long as some ten checks do.
_TOGETHER: Final = 25
_MAX_CACHED: Final = 50_000

Row = dict[str, object]

# Families of keys by their numbers: neither ever changes.
_families: dict[str, str] = {}


class TooManyRowsError(Exception):
    """A batch of more than MAX_ROWS."""


@dataclass(slots=True)
class _Sent:
    """A report with its place in the batch and the family of its key."""

    index: int
    report: Report
    family: str

    @property
    def places(self) -> list[bytes]:
        """The keys in the store that it may touch."""
        check, family = self.report.check, self.family
        mark, record = reported_key(family, self.report.name), record_key(family)
        settled = mark if check is None else settled_key(family, check.lease)
        shared = shared_key(family, check.workspace) if check and check.workspace else record
        return [mark, settled, record, shared]


def take(body: bytes, caller: Caller) -> list[Row]:
    """Take a gateway's report or batch of reports; what became of each, in their order.

    A bad one never spoils the others. Whatever is sent again is a repeat, so a batch that was answered with
    an error is simply sent again. Raises BadQuestionError, TooManyRowsError, StoreUnavailableError, and
    UnavailableError where the registry is needed and away.
    """
    rows, now = _rows_of(body), time.time()
    answers: list[Row] = [{} for _ in rows]
    good: list[tuple[int, Report]] = []
    for index, row in enumerate(rows):
        try:
            good.append((index, read_report(row, caller, now=now)))
        except WrongRowError as error:
            answers[index] = _wrong(error)
    numbers = {report.key for _, report in good if report.key}
    families = _families_of(numbers)
    sent = []
    for index, report in good:
        try:
            sent.append(_Sent(index, report, _family_of(report, families)))
        except WrongRowError as error:
            answers[index] = _wrong(error)
    _send(sent, answers, int(now))
    return answers


def _rows_of(body: bytes) -> Sequence[Any]:
    data = read_json(body)
    if type(data) is dict or data is TWICE:
        return [data]
    if type(data) is not list or not data:
        raise BadQuestionError("The body is neither a report nor a list of reports.")
    if len(data) > MAX_ROWS:
        raise TooManyRowsError
    return data


def _families_of(numbers: set[str]) -> dict[str, str]:
    found = {number: _families[number] for number in numbers if number in _families}
    # PostgreSQL has no text with a NUL in it, and would refuse the whole batch.
    missing = {number for number in numbers - found.keys() if "\0" not in number}
    if missing:
        try:
            with for_known.reading():
                fresh = dict(Key.objects.filter(public_id__in=missing).values_list("public_id", "family"))
        except DatabaseFailure:
            raise UnavailableError from None
        if len(_families) >= _MAX_CACHED:
            _families.clear()
        _families.update(fresh)
        found.update(fresh)
    return found


def _family_of(report: Report, families: dict[str, str]) -> str:
    family = families.get(report.key, "")
    if report.key and not family:
        raise WrongRowError("UNKNOWN_KEY", "There is no key with this number.")
    if report.check is None:
        return family
    if report.key and report.check.family != family:
        raise WrongRowError("UNKNOWN_CHECK", "The check was of another key.")
    return report.check.family


def _send(sent: list[_Sent], answers: list[Row], now: int) -> None:
    # What one call touches lies under one hash tag.
    by_tag: dict[bytes, list[_Sent]] = defaultdict(list)
    for one in sent:
        by_tag[tag_of(one.family[:BUCKET_LENGTH])].append(one)
    for tag, group in by_tag.items():
        for begin in range(0, len(group), _TOGETHER):
            together = group[begin : begin + _TOGETHER]
            told = hotwire.call(
                "report",
                [use_key(tag), *(place for one in together for place in one.places)],
                # The mark outlives the check's id, whatever the clocks say.
                settings.USAGE_REPORT_SECONDS + 3600,
                *(value for one in together for value in one.report.arguments(one.family, now)),
            )
            for one, words in zip(together, told, strict=True):
                answers[one.index] = _told(words.decode().split())


def _told(words: list[str]) -> Row:
    row: Row = {"outcome": words[0].lower()}
    for word in words[1:]:
        row["lease" if word in {"RELEASED", "NOT_HELD"} else "cost"] = word.lower()
    return row


def _wrong(error: WrongRowError) -> Row:
    return {"outcome": "wrong", "code": error.code, "detail": error.detail}
