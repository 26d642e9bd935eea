"""What a mail asks for: labelled lines, as people write them, in Japanese and English (R4).

`用途：配送状況の照会`, `【期間】2026/12/01～2027/03/31`, `■ 担当者` with the value below it, `Purpose: …`.
Only what is labelled is taken, as it was written; what a value means is for intake.meaning.
"""

import re
import unicodedata

LONGEST_VALUE = 4_000
LONGEST_LABEL_LINE = 400
LABELS: dict[str, tuple[str, ...]] = {
    "applicant": (
        "申請者", "申請者名", "依頼者", "申込者", "ご依頼者", "applicant", "requester", "requested by",
    ),
    "partner": (
        "契約先", "契約先名", "会社名", "企業名", "貴社名", "御社名", "社名", "団体名", "所属",
        "company", "company name", "partner", "organization", "organisation",
    ),
    "purpose": (
        "用途", "利用用途", "利用目的", "使用目的", "ご利用目的", "目的", "purpose", "use", "use case",
        "intended use",
    ),
    "period": (
        "期間", "利用期間", "使用期間", "ご利用期間", "契約期間", "希望期間", "利用希望期間", "period",
        "term", "duration", "period of use",
    ),
    "starts": (
        "開始日", "利用開始日", "start", "start date", "from",
    ),
    "ends": (
        "終了日", "利用終了日", "有効期限", "期限", "end", "end date", "until", "expiry", "expires",
    ),
    "contact": (
        "担当者", "ご担当者", "担当", "担当者名", "連絡先", "担当者連絡先", "ご連絡先", "contact",
        "contact person", "person in charge", "technical contact",
    ),
    "product": (
        "対象API", "対象のAPI", "利用API", "希望API", "ご希望のAPI", "API名", "API", "対象サービス",
        "api product", "api products", "apis", "target api", "product", "products",
    ),
    "amount": (
        "月額", "月額料金", "月額利用料", "契約金額", "契約月額", "金額", "ライセンス料",
        "monthly amount", "monthly fee", "amount", "contract amount",
    ),
    "environment": (
        "環境", "利用環境", "environment", "env",
    ),
    "addresses": (
        "IPアドレス", "接続元", "接続元IP", "接続元IPアドレス", "IP", "ip address", "ip addresses",
        "source ip",
    ),
}  # fmt: skip
_FIELDS = {label.casefold(): field for field, labels in LABELS.items() for label in labels}
_OPENING = r"[\s\u3000■□●○◆◇▼▽★☆◎※・*•>＞#|-]*(?:[(（]?\d{1,2}[)）.．、]\s*)?"
_REMARK = r"(?:\s*[(（][^()（）]{0,40}[)）])?"
_BRACKETED = re.compile(
    rf"{_OPENING}[【\[［〔〈《「『](?P<label>[^】\]］〕〉》」』]{{1,40}})[】\]］〕〉》」』]\s*[:：]?(?P<value>.*)"
)
_SEPARATED = re.compile(
    rf"{_OPENING}(?P<label>[^:：=＝\t]{{1,40}}?){_REMARK}\s*(?:[:：＝=]|\t+)(?P<value>.*)"
)
_HEADING = re.compile(rf"{_OPENING}(?P<label>[^\s\u3000][^:：=＝\t]{{0,40}}?){_REMARK}\s*$")
_MARKED = re.compile(r"[\s\u3000]*[■□●○◆◇▼▽★☆◎#]")
_SIGNATURE = re.compile(r"\s*(--\s*$|[-=_*＿―─━]{5,})")
# What a mail must say to be a request.
ASKS = frozenset({"purpose", "product"})
_QUOTED = re.compile(r"\s*[>＞]")
# From this line on it is the mail that was answered or forwarded.
_EARLIER = re.compile(
    r"\s*(?:-{2,}\s*(?:original message|forwarded message|元のメッセージ|転送メッセージ|original-nachricht)|"
    r"on .{6,200} wrote:\s*$|\d{4}年\d{1,2}月\d{1,2}日.{0,200}[:：]\s*$|"
    r"(?:from|差出人|送信者)\s*[:：].{0,200}@)",
    re.IGNORECASE,
)
_REPLY_PREFIX = re.compile(r"^(?:(?:re|fw|fwd|転送|返信)\s*[:：]\s*)+", re.IGNORECASE)


def read_fields(text: str) -> dict[str, str]:
    """`{"purpose": "配送状況の照会", …}`: the first value of each label that says something.

    What is quoted of an earlier mail counts only where the sender's own words ask for nothing: an answer
    below or above an old request must not take over its period.
    """
    own, quoted = _cut(text)
    found = _read(own)
    return found if found.keys() & ASKS else _read(quoted) | found


def _cut(text: str) -> tuple[str, str]:
    """The sender's own lines, and those of earlier mails."""
    own: list[str] = []
    quoted: list[str] = []
    is_earlier = False
    for line in text.split("\n"):
        is_earlier = is_earlier or bool(_EARLIER.match(line[:LONGEST_LABEL_LINE]))
        (quoted if is_earlier or _QUOTED.match(line) else own).append(line)
    return "\n".join(own), "\n".join(quoted)


def _read(text: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    current = ""
    for line in text.split("\n"):
        field, value = _labelled(line[:LONGEST_LABEL_LINE], line)
        if field:
            current = field if not any(found.get(field, [])) else ""
            if current:
                found[current] = [value] if value else []
        elif _SIGNATURE.match(line) or _ends(line, found.get(current, [])):
            current = ""
        elif current and line.strip():
            found[current].append(line.strip())
    joined = {field: "\n".join(lines).strip()[:LONGEST_VALUE] for field, lines in found.items()}
    return {field: value for field, value in joined.items() if value}


def subject_as_title(subject: str) -> str:
    """What a draft is called until its key has a name: the subject without `Re:` and `Fwd:`."""
    return _REPLY_PREFIX.sub("", subject).strip()[:120]


def _ends(line: str, lines: list[str]) -> bool:
    """An empty line, or another label of the sender's own, ends a value that has begun."""
    return bool(lines) and (not line.strip() or _is_foreign_label(line))


def _is_foreign_label(line: str) -> bool:
    return bool(_BRACKETED.match(line[:LONGEST_LABEL_LINE]) or _MARKED.match(line))


def _labelled(line: str, whole: str) -> tuple[str, str]:
    """The field and the value of a line that begins with a label; `("", "")` for any other."""
    for pattern in (_BRACKETED, _SEPARATED):
        match = pattern.match(line)
        if match and (field := _field_of(match["label"])):
            return field, whole[match.start("value") :].strip()
    match = _HEADING.match(line)
    field = _field_of(match["label"]) if match else ""
    return field, ""


def _field_of(label: str) -> str:
    plain = unicodedata.normalize("NFKC", label).strip(" \u3000・*_`'\"").casefold()
    return _FIELDS.get(re.sub(r"\s+", " ", plain), "")
