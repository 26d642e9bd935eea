"""The words of an HTML mail. Nothing is fetched, run or kept of its mark-up."""

import re
from html.parser import HTMLParser

LONGEST = 500_000
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
_BLANK_LINES = re.compile(r"\n[ \t]*\n[ \t\n]*\n")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self.silent.append(tag)
        elif tag in _LINES:
            self.words.append("\n")
        elif tag in {"td", "th", "dd"}:
            self.words.append("\t")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.silent:
            # A forgotten end inside must not silence the rest of the mail.
            del self.silent[self.silent.index(tag) :]
        elif tag in _LINES and tag != "br":
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.words.append(" ".join(data.split()) if data.strip() else " ")


def text_of(html: str) -> str:
    """The visible words, a line for each block, a tab between the cells of a row."""
    parser = _Words()
    parser.feed(html[:LONGEST])
    parser.close()
    lines = [line.strip(" ") for line in "".join(parser.words).split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
