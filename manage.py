#!/usr/bin/env python3
"""Django's command line, with Kagiban's settings."""

import os
import sys


def main() -> None:
    """Run the command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] == ["ingest_mail"]:
        _for_a_mail_server()
    else:
        _run()


def _run() -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


def _for_a_mail_server() -> None:
    """Whatever keeps us from starting (a setting, a module) is temporary: any other status loses the mail."""
    try:
        _run()
    except Exception as error:  # noqa: BLE001
        sys.stderr.write(f"Kagiban: ingest_mail could not start ({type(error).__name__}); try again.\n")
        sys.exit(os.EX_TEMPFAIL)
    except SystemExit as end:
        known = {None, 0, os.EX_NOINPUT, os.EX_TEMPFAIL}
        sys.exit(end.code if end.code in known else os.EX_TEMPFAIL)


if __name__ == "__main__":
    main()
