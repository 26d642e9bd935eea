"""Brings the database to what the code expects, once per start: `python -m config.prepare`.

A process of its own, so that the launcher never loads Django. Its last line on standard output is JSON for
the launcher: `{"demo": bool, "commands": [str]}`, or `{"error": str}` where the database can't be reached.
"""

import json
import os
import sys


def main() -> None:
    """Migrate, collect static files where they are served collected, load the demo into an empty database."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.core.management import call_command, get_commands
    from django.db import OperationalError, connection

    try:
        connection.ensure_connection()
    except OperationalError as error:
        reason = " ".join(str(error).split())
        print(json.dumps({"error": f"The database of DATABASE_URL can't be reached: {reason}"}))
        return
    call_command("migrate", interactive=False, verbosity=0)
    if not settings.WHITENOISE_USE_FINDERS:
        call_command("collectstatic", interactive=False, verbosity=0)
    commands = get_commands() if settings.DEMO else {}
    if "load_demo" in commands and not get_user_model().objects.exists():
        print("Loading the demo's data, once; this takes a minute or two.", file=sys.stderr, flush=True)
        call_command("load_demo", stdout=sys.stderr)
    elif "mend_demo" in commands:
        call_command("mend_demo", stdout=sys.stderr)
    print(json.dumps({"demo": settings.DEMO, "commands": sorted(commands)}))


if __name__ == "__main__":
    main()
