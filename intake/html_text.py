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
# An element of these ends where the next one begins, whether or not its end is written.
_ENDED_BY_THE_NEXT = {"p", "li", "td", "th", "tr", "dt", "dd"}
_VOID = {"br", "hr", "img", "input", "meta", "link", "wbr", "area", "base", "col", "embed", "source", "track"}
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|"
    r"(?:font-size|opacity|max-height|line-height)\s*:\s*0+(?:\.0+)?(?:px|pt|em|rem|%)?\s*(?:;|!|$)",
    re.IGNORECASE,
).search
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
    parser.feed(html[:LONGEST])
    parser.close()
    lines = [line.strip(" ") for line in "".join(parser.words).split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
