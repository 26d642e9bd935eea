"""`script/test`: lint, templates, floors, types, settings, then the tests; a heading and a time for each."""

import argparse
import functools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from tests import servers
from tests.environment import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "var" / "test"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Real servers of Debian's that tests start, by their mark: the heading of these tests and the package.
SERVERS = {
    "nginx": ("Gateway tests", "nginx-light"),
    "dovecot": ("Mailbox tests", "dovecot-imapd"),
}
# Besides these, Chromium with a font for Japanese.
SYSTEM_PACKAGES = ("chromium", "fonts-noto-cjk", *(package for _title, package in SERVERS.values()))
TOOLS = Path(sys.executable).parent
NO_TESTS = 5
FAST = "not browser and not fault and not race and not long"
# What `check --deploy` looks at is production, as docker-compose.yml runs it.
PRODUCTION = {
    "PORTAL_URL": "https://kagiban.example.jp",
    "ALLOWED_HOSTS": "kagiban.example.jp",
    "EMAIL_URL": "smtp+tls://kagiban:secret@mail.example.jp:587",
    "STATIC_FROM_SOURCE": "0",
    **{name: f"1:{secrets.token_hex(32)}" for name in ("API_KEY_HASH_SECRET", "LINK_SECRET", "FIELD_SECRET")},
}

Command = list[str]


@dataclass
class Run:
    """What this run was asked for, and how it went so far."""

    arguments: list[str]
    environment: dict[str, str]
    sections: list[tuple[str, float, bool]] = field(default_factory=list)
    n_passed: int = 0
    n_failed: int = 0
    n_skipped: int = 0

    def section(self, title: str, check: Callable[[], bool]) -> None:
        """Do one check below its heading."""
        print(f"\n━━ {title} ".ljust(100, "━"), flush=True)
        begin = time.monotonic()
        well = check()
        self.sections.append((title, time.monotonic() - begin, well))

    def commands(self, *commands: Command, **variables: str) -> bool:
        """Whether all of these commands end with 0; each of them runs."""
        statuses = [self._call(command, variables) for command in commands]
        return not any(statuses)

    def begin(self, command: Command) -> Callable[[], bool]:
        """Begin a command beside what comes next; the check that waits for it and prints what it said."""
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the check
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=output, stderr=subprocess.STDOUT
        )

        def check() -> bool:
            status = process.wait()
            with output:
                output.seek(0)
                print(output.read().decode(errors="replace"), end="", flush=True)
            return status == 0

        return check

    def suite(self, marks: str, workers: int, *options: str) -> bool:
        """Whether the tests with these marks pass, on so many processes."""
        report = REPORTS / f"{len(self.sections)}.xml"
        report.unlink(missing_ok=True)
        chosen = ["-m", marks, "-n", str(workers), *options, f"--junitxml={report}", *self.arguments]
        status = self._call(python("pytest", *chosen), {})
        self._count(report)
        # Arguments (`-k revoke`) may choose nothing from one suite.
        return status == 0 or (bool(self.arguments) and status == NO_TESTS)

    def close(self) -> int:
        """Print how each section went, and the count of the tests last; returns the exit status."""
        print("\n" + "━" * 100)
        for title, seconds, well in self.sections:
            print(f"{'ok    ' if well else 'FAILED'}  {seconds:7.1f} s  {title}")
        n_bad = sum(not well for _, _, well in self.sections)
        print(f"\n{len(self.sections) - n_bad} of {len(self.sections)} sections are well. Tests:")
        print(f"{self.n_passed} passed, {self.n_failed} failed, {self.n_skipped} skipped", flush=True)
        return 1 if n_bad else 0

    def _call(self, command: Command, variables: dict[str, str]) -> int:
        environment = {**self.environment, **variables}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode

    def _count(self, report: Path) -> None:
        if not report.exists():
            return
        # Our own pytest wrote it a moment ago.
        for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314
            n_all, n_skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
            n_failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            self.n_failed += n_failed
            self.n_skipped += n_skipped
            self.n_passed += n_all - n_failed - n_skipped


def python(module: str, *arguments: str) -> Command:
    """The command that runs a module of `.venv`."""
    return [sys.executable, "-m", module, *arguments]


def manage(*arguments: str) -> Command:
    """The command that runs one of Django's commands, where a warning is an error."""
    return [sys.executable, "-W", "error", "manage.py", *arguments]


def main(arguments: list[str]) -> int:
    """Run every section, whatever failed before it; returns 0 if all are well."""
    parser = argparse.ArgumentParser(
        prog="script/test",
        description=__doc__,
        epilog="Other arguments go to pytest: script/test --fast -k revoke",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="only what takes about a minute: no browser, fault, race and long tests",
    )
    parser.add_argument(
        "--screenshots", action="store_true", help="write pictures of the pages to var/screenshots/"
    )
    options, rest = parser.parse_known_args(arguments)
    os.chdir(ROOT)
    REPORTS.mkdir(parents=True, exist_ok=True)
    browser = None if options.fast else _browser()
    os.environ.update(ENVIRONMENT)
    folder = servers.start()
    try:
        run = Run(rest, dict(os.environ))
        # Importing `config` set it; the tests set it themselves, once each process knows its servers.
        run.environment.pop("DJANGO_SETTINGS_MODULE", None)
        # A run starts processes by the dozen: without compiled files each compiles all of the code again.
        run.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if options.screenshots:
            run.environment["SCREENSHOTS"] = "1"
        if browser:
            run.environment["CHROMIUM"] = browser
        template = servers.begin_template(folder)
        # On one core it takes as long as all the other looks on two: the first tests begin beside it.
        types = run.begin(python("mypy"))
        _look(run)
        if template:
            run.section("A migrated database", lambda: template.wait() == 0)
            run.environment[servers.TEMPLATE] = servers.TEMPLATE_NAME
        _test(run, types, fast=options.fast, browser=browser)
    finally:
        servers.stop(folder)
    return run.close()


def _look(run: Run) -> None:
    lint = (
        python("ruff", "check"),
        python("ruff", "format", "--check"),
        [str(TOOLS / "hadolint"), "Dockerfile"],
    )
    templates = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "templates").rglob("*.html"))]
    run.section("Format and lint", lambda: run.commands(*lint))
    run.section(
        "Templates",
        lambda: run.commands(
            [str(TOOLS / "djade"), "--check", "--target-version", "5.2", *templates],
            python("djlint", "--quiet", "--lint", "templates"),
        ),
    )
    run.section("Floors of the house", lambda: run.commands([str(TOOLS / "lint-imports")]))
    run.section("Migrations", lambda: run.commands(manage("makemigrations", "--check", "--dry-run")))
    check = manage("check", "--deploy", "--fail-level", "WARNING")
    run.section("Settings of production", lambda: run.commands(check, **PRODUCTION))


def _test(run: Run, types: Callable[[], bool], *, fast: bool, browser: str | None) -> None:
    workers = min(os.cpu_count() or 1, 8)
    # Neighbours share what their file starts; whoever has nothing left takes from the others.
    shared = ("--dist", "worksteal")
    run.section("Unit and HTTP tests", lambda: run.suite(FAST, workers, *shared))
    run.section("Types", types)
    if fast:
        return
    beside = "(race or long) and not browser and not fault"
    run.section("Race and long tests", lambda: run.suite(beside, workers, *shared))
    missing = [name for name in SERVERS if not _server(name)]
    # File by file: what one file starts and stops must not meet another start of the same.
    faults = " and not ".join(["fault", *missing])
    alone = ("--dist", "loadfile", "--no-loadscope-reorder")
    # One more than cores: these wait for servers to fail and to come back.
    run.section("Fault tests", lambda: run.suite(faults, workers + 1, *alone))
    for name in missing:
        run.section(SERVERS[name][0], functools.partial(_without, name))
    if browser:
        run.section("Browser tests", lambda: run.suite("browser", workers, *shared))
    else:
        run.section("Browser tests", _without_browser)


def _browser() -> str | None:
    """The path of Chromium, installed first where it is missing and can be."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    complete = found and all(map(_server, SERVERS))
    if not complete and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {', '.join(SYSTEM_PACKAGES)}; this happens once.", flush=True)
        quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *SYSTEM_PACKAGES]
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, env=quietly, stdout=subprocess.DEVNULL, check=False)
        found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found


def _server(name: str) -> str | None:
    """The path of the server; Debian keeps it where only root looks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def _without(name: str) -> bool:
    """Say loudly that what needs this server was not tried; in CI that is a failure."""
    print(f"THE TESTS OF {name.upper()} DID NOT RUN: there is no {name} here, and it can't be installed.")
    print(f"Install it ({SERVERS[name][1]}) and run this again.")
    return not os.environ.get("CI")


def _without_browser() -> bool:
    """Say loudly that part of the product was not tested; where a machine decides (CI), that is a failure."""
    print("THE BROWSER TESTS DID NOT RUN: there is no Chromium here, and it can't be installed.")
    print(f"Install it ({' '.join(SYSTEM_PACKAGES)}) and run this again.")
    return not os.environ.get("CI")
