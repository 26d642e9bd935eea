"""From the bytes of a mail to text, whatever its charset is said to be.

Japanese mails are where labels lie: Shift_JIS under the name of UTF-8 or none, half-width kana and NEC's ① in
ISO-2022-JP (which Python's codecs refuse), UTF-8 under the name of ISO-2022-JP.
"""

import codecs
import re

# Codecs of texts. Python has others under a charset's name ("punycode", "unicode_escape") that no mail means.
_KNOWN = re.compile(
    r"utf-?(7|8|16|32)(-?[bl]e)?|us-ascii|ascii|latin-?1|iso-?8859-?\d{1,2}|windows-\d{3,4}|cp\d{3,5}|koi8-[ru]|"
    r"big5(-hkscs)?|gb(2312|k|18030)|euc-(jp|kr)|iso-2022-(jp|kr)[-\w]{0,6}|ks_c_5601-1987|tis-620",
    re.ASCII,
).fullmatch
# Stands for what could not be read.
UNREADABLE = "\ufffd"
_SHIFT_JIS = {"shift_jis", "shift-jis", "sjis", "x-sjis", "ms_kanji", "windows-31j", "cp932", "csshiftjis"}
_ESCAPES = re.compile(rb"\x1b(\$[@B]|\$\([A-Z]|\([A-Z])")
# The designator of ISO-2022-KR (RFC 1557); its letters look like ASCII.
_KOREAN = b"\x1b$)C"
_HALF_KANA = re.compile("[｡-ﾟ]")


def decode(data: bytes, charset: str = "") -> str:
    """The text. Never raises; what can't be read becomes U+FFFD."""
    if data.isascii() and b"\x1b" not in data:
        named = _codec(charset)
        return (
            _try(data, named) or ""
            if named.startswith(("utf-7", "utf7", "utf-16", "utf-32"))
            else data.decode()
        )
    if not any(byte > 0x7F for byte in data):
        korean = _try(data, "iso2022_kr") if _KOREAN in data else None
        if korean is not None:
            return korean
        if _ESCAPES.search(data):
            return _decode_jis(data)
    named = _codec(charset)
    utf8 = _as_utf8(data, is_named=named.startswith(("utf-8", "utf8")))
    if utf8 is not None:
        return utf8
    # A wrong guess between the Japanese codecs shows as rows of half-width kana.
    guesses = [text for name in ("cp932", "euc_jp") if (text := _try(data, name)) is not None]
    given = _try(data, named) if named and named not in {"utf-8", "ascii", "us-ascii"} else None
    if given is not None and not (named.startswith(("cp932", "euc")) and guesses):
        return given
    if guesses:
        return min(guesses, key=lambda text: len(_HALF_KANA.findall(text)))
    return data.decode(named or "utf-8", "replace") if _try(b"", named or "utf-8") is not None else ""


def _as_utf8(data: bytes, *, is_named: bool) -> str | None:
    """UTF-8 by its form, whatever it is called; what is cut off within the last character is left out."""
    try:
        return codecs.utf_8_decode(data, "strict", False)[0]
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        return text if is_named and text.count("\ufffd") * 10 < len(text) else None


def _codec(charset: str) -> str:
    name = charset.strip().strip("\"'").lower()[:40]
    if name in _SHIFT_JIS:
        return "cp932"
    return name if _KNOWN(name) else ""


def _try(data: bytes, codec: str) -> str | None:
    if not codec:
        return None
    try:
        return data.decode(codec)
    except (LookupError, ValueError):
        return None


def _decode_jis(data: bytes) -> str:
    """ISO-2022-JP with what Outlook and old phones put in: JIS X 0201 kana, NEC's and IBM's characters."""
    pieces, mode, start = [], "ascii", 0
    for match in [*_ESCAPES.finditer(data), None]:
        pieces.append(_decode_segment(data[start : match.start() if match else len(data)], mode))
        if match:
            mode = {b"$@": "kanji", b"$B": "kanji", b"$(D": "more kanji", b"(I": "kana"}.get(
                match[1], "ascii"
            )
            start = match.end()
    return "".join(pieces)


def _decode_segment(data: bytes, mode: str) -> str:
    if mode == "kana":
        return bytes(byte | 0x80 if 0x20 < byte < 0x60 else byte for byte in data).decode("cp932", "replace")
    if mode == "ascii":
        return data.decode("ascii", "replace")
    # The end of a line closes what an escape opened, where the sender forgot to (RFC 1468).
    line, end, rest = data.partition(b"\n")
    pairs = [(line[at], line[at + 1]) for at in range(0, len(line) - 1, 2)]
    if mode == "more kanji":  # JIS X 0212, of which EUC-JP has the table
        text = b"".join(bytes([0x8F, row | 0x80, cell | 0x80]) for row, cell in pairs).decode(
            "euc_jp", "replace"
        )
    else:
        text = b"".join(_to_shift_jis(row, cell) for row, cell in pairs).decode("cp932", "replace")
    return text + (end + rest).decode("ascii", "replace")


def _to_shift_jis(row: int, cell: int) -> bytes:
    """The Shift_JIS pair of a JIS X 0208 pair (each 0x21 … 0x7E); for any other one that can't be read."""
    if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
        return b"\x81\xff"
    lead = (row - 0x21) // 2 + 0x81
    lead += 0x40 if lead > 0x9F else 0
    trail = cell + (0x1F + (cell >= 0x60) if row % 2 else 0x7E)
    return bytes([lead, trail])
