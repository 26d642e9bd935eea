"""A process of its own that checks one key again and again; prints how often it got which code."""

import json
import sys
from collections import Counter

import django

django.setup()

from tests.dataplane import verify  # noqa: E402 - Django has to be set up first


def main() -> None:
    """Arguments: a gateway's credential, a key's text, how often to ask, and the question as JSON."""
    gateway, text, times, question = sys.argv[1:]
    codes = Counter(verify(gateway, text, **json.loads(question)).code for _ in range(int(times)))
    print(json.dumps(codes))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    main()
