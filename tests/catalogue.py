"""Keeps the Japanese catalogue whole: finds every string of the code, and what is missing in Japanese.

`script/messages` brings `django.po` up to date and compiles it; a test fails while anything is untranslated.
Works without GNU gettext: Django's own `templatize` reads templates, `ast` reads Python.
"""

import ast
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polib
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
PO = ROOT / "locale" / "ja" / "LC_MESSAGES" / "django.po"
MO = PO.with_suffix(".mo")
# The demo speaks through its data; tests speak to nobody.
APPS = (
    "accounts",
    "approvals",
    "audit",
    "config",
    "core",
    "intake",
    "keys",
    "notifications",
    "partners",
    "verifier",
)

PLAIN = {"_", "gettext", "gettext_lazy", "gettext_noop"}
PLURAL = {"ngettext", "ngettext_lazy"}
CONTEXT = {"pgettext", "pgettext_lazy"}
CONTEXT_PLURAL = {"npgettext", "npgettext_lazy"}
CALL = re.compile(r"\b(_|n?p?gettext)\(")
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w*\}|%[sd]")


class Found(NamedTuple):
    """One message in the code: its context (`""` for none), its text and, where there is one, its plural."""

    context: str
    text: str
    plural: str


Messages = dict[Found, list[str]]


def find_messages() -> Messages:
    """Every message of code and templates, with the places (`path:line`) where it stands."""
    messages: Messages = defaultdict(list)
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            if "migrations" not in path.parts:
                _collect(messages, path, _python_calls(path.read_text("utf-8")))
        for path in sorted((ROOT / app).rglob("*.html")):
            _collect(messages, path, _template_calls(path))
    for path in sorted((ROOT / "templates").rglob("*.*")):
        if path.suffix in {".html", ".txt"}:
            _collect(messages, path, _template_calls(path))
    return messages


def _collect(messages: Messages, path: Path, calls: "Iterator[tuple[int, Found]]") -> None:
    for line, found in calls:
        place = f"{path.relative_to(ROOT)}:{line}"
        if place not in messages[found]:
            messages[found].append(place)


def _python_calls(source: str) -> Iterator[tuple[int, Found]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            found = _message(name, node)
            if found is not None:
                yield node.lineno, found


def _template_calls(path: Path) -> Iterator[tuple[int, Found]]:
    source = templatize(path.read_text("utf-8"), origin=str(path))
    for match in CALL.finditer(source):
        end = _end_of_call(source, match.end())
        try:
            call = ast.parse(source[match.start() : end], mode="eval").body
        except SyntaxError as error:
            raise ValueError(
                f"{path}: a translation that can't be read: {source[match.start() : end]!r}"
            ) from error
        found = _message(match[1], call) if isinstance(call, ast.Call) else None
        if found is not None:
            yield source.count("\n", 0, match.start()) + 1, found


def _end_of_call(source: str, start: int) -> int:
    """The position behind the parenthesis that closes the call; strings may hold parentheses."""
    token = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[()]""", re.DOTALL)
    depth = 1
    for match in token.finditer(source, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(source)


def _message(name: str, call: ast.Call) -> Found | None:
    texts = [arg.value if isinstance(arg, ast.Constant) else None for arg in call.args]
    strings = [text for text in texts if isinstance(text, str)]
    if name in PLAIN and strings[:1] == texts[:1] and strings:
        return Found("", strings[0], "")
    if name in PLURAL and len(strings) >= 2:
        return Found("", strings[0], strings[1])
    if name in CONTEXT and len(strings) >= 2:
        return Found(strings[0], strings[1], "")
    if name in CONTEXT_PLURAL and len(strings) >= 3:
        return Found(strings[0], strings[1], strings[2])
    return None


def read_catalogue() -> polib.POFile:
    """The Japanese catalogue as it is committed."""
    return polib.pofile(str(PO)) if PO.exists() else polib.POFile(wrapwidth=110)


def find_defects() -> list[str]:
    """What is untranslated, fuzzy, obsolete, has other placeholders than its original, or is not compiled."""
    catalogue = read_catalogue()
    entries = {Found(e.msgctxt or "", e.msgid, e.msgid_plural): e for e in catalogue}
    defects = []
    messages = find_messages()
    for found, places in messages.items():
        entry = entries.get(found)
        if entry is None or not entry.translated() or "fuzzy" in entry.flags:
            defects.append(f"untranslated: {found.text!r} ({places[0]})")
        elif _placeholders_differ(entry):
            defects.append(f"placeholders differ: {found.text!r}")
    defects += [f"no longer used: {found.text!r}" for found in entries if found not in messages]
    if not MO.exists() or polib.mofile(str(MO)) != _compiled(catalogue):
        defects.append("django.mo is older than django.po: run script/messages")
    return defects


def _compiled(catalogue: polib.POFile) -> polib.MOFile:
    with tempfile.NamedTemporaryFile(suffix=".mo") as scratch:
        catalogue.save_as_mofile(scratch.name)
        return polib.mofile(scratch.name)


def _placeholders_differ(entry: polib.POEntry) -> bool:
    # Japanese has one plural form, which says the number; a singular "one" may leave it out.
    original = set(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
    texts = list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]
    return any(set(PLACEHOLDER.findall(text)) != original for text in texts)


def sync() -> int:
    """Bring the catalogue up to date and compile it; returns how many messages lack Japanese."""
    old = {Found(e.msgctxt or "", e.msgid, e.msgid_plural): e for e in read_catalogue()}
    fresh = polib.POFile(wrapwidth=110)
    fresh.metadata = {
        "Project-Id-Version": "Kagiban",
        "Language": "ja",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": "nplurals=1; plural=0;",
    }
    missing = 0
    for found, places in sorted(find_messages().items(), key=lambda item: (item[1][0], item[0])):
        entry = polib.POEntry(
            msgctxt=found.context or None,
            msgid=found.text,
            msgid_plural=found.plural,
            occurrences=[(places[0].rsplit(":", 1)[0], "")],
        )
        known = old.get(found)
        if known is not None:
            entry.msgstr = known.msgstr
            entry.msgstr_plural = known.msgstr_plural
        elif found.plural:
            entry.msgstr_plural = {0: ""}
        missing += not entry.translated()
        fresh.append(entry)
    PO.parent.mkdir(parents=True, exist_ok=True)
    fresh.save(str(PO))
    fresh.save_as_mofile(str(MO))
    return missing


if __name__ == "__main__":
    left = sync()
    sys.stdout.write(f"{PO.relative_to(ROOT)}: {left} messages lack Japanese\n")
