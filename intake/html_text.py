"""The words of an HTML mail. Nothing is fetched, run or kept of its mark-up."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

LONGEST = 500_000
# The parser looks from each tag that never ends to the end of what it was given: it gets a bit at a time.
_AT_A_TIME = 200
# How many silent elements within each other are told apart: ends are looked for among them.
_DEEPEST = 200
_SILENT = {"script", "style", "head", "title", "template", "noscript", "object", "svg"}
_LINES = {
    "br",
    "p",
    "div",
    "li",
    "tr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
    "ul",
    "ol",
    "dl",
    "dt",
    "hr",
}
# An element of these ends where the next one begins, whether or not its end is written.
_ENDED_BY_THE_NEXT = {"p", "li", "td", "th", "tr", "dt", "dd"}
_VOID = {"br", "hr", "img", "input", "meta", "link", "wbr", "area", "base", "col", "embed", "source", "track"}
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|"
    r"(?:font-size|opacity|max-height|line-height)\s*:\s*0+(?:\.0+)?(?:px|pt|em|rem|%)?\s*(?:;|!|$)",
    re.IGNORECASE,
).search
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# Sections that the parser raises for.
_FOREIGN_SECTION = re.compile(r"<!\[(?!(?:if|else|endif|cdata)\b)", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n[ \t]*\n[ \t\n]*\n")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _ENDED_BY_THE_NEXT and self.silent and self.silent[-1] == tag:
            self.silent.pop()
        told = dict(attrs)
        is_hidden = "hidden" in told or bool(_HIDDEN(told.get("style") or ""))
        # Inside of what is silent, elements of its name are counted: their ends are not its end.
        if tag in _SILENT or (tag not in _VOID and (is_hidden or tag in self.silent)):
            if len(self.silent) < _DEEPEST:
                self.silent.append(tag)
        elif tag in _LINES:
            self.words.append("\n")
        elif tag in {"td", "th", "dd"}:
            self.words.append("\t")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.silent:
            # A forgotten end inside must not silence the rest of the mail.
            last = len(self.silent) - 1 - self.silent[::-1].index(tag)
            del self.silent[last:]
        elif tag in _LINES and tag != "br":
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.words.append(" ".join(data.split()) if data.strip() else " ")


def text_of(html: str) -> str:
    """The visible words, a line for each block, a tab between the cells of a row."""
    parser = _Words()
    for piece in _pieces(html[:LONGEST]):
        parser.feed(piece)
        parser.close()
    lines = [line.strip(" ") for line in "".join(parser.words).split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def _pieces(html: str) -> Iterator[str]:
    """Without comments, in pieces that begin where a tag may."""
    end = html.rfind("-->") + 3 if "-->" in html else 0
    html = _COMMENT.sub("", html[:end]) + html[end:].replace("<!--", " ")
    piece = ""
    for part in re.split("(?=<)", _FOREIGN_SECTION.sub("&lt;", html)):
        piece += part
        if len(piece) >= _AT_A_TIME:
            yield piece
            piece = ""
    yield piece
