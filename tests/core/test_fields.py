"""What people type into forms is read exactly or refused with words (R1, "Bad input")."""

import unicodedata
from datetime import date, timedelta
from decimal import Decimal
from ipaddress import ip_network

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import override
from hypothesis import example, given
from hypothesis import strategies as st

from core import fields, parsing


@pytest.mark.parametrize(
    ("typed", "yen"),
    [
        ("500000", 500_000),
        ("500,000", 500_000),
        ("  500,001  ", 500_001),
        ("５００，００１", 500_001),
        ("５００００１", 500_001),
        ("　５０００００　", 500_000),
        ("¥500,000", 500_000),
        ("￥500,000", 500_000),
        ("¥ 500,000", 500_000),
        ("500,000円", 500_000),
        ("500,000 円", 500_000),
        ("JPY 500,000", 500_000),
        ("50万円", 500_000),
        ("50万", 500_000),
        ("５０万円", 500_000),
        ("1.5万円", 15_000),
        ("１．５万円", 15_000),
        ("50万1円", 500_001),
        ("50万5,000円", 505_000),
        ("1億2000万円", 120_000_000),
        ("1億2,000万円", 120_000_000),
        ("1.2億円", 120_000_000),
        ("0", 0),
        ("007", 7),
    ],
)
def test_yen_as_people_write_it(typed: str, yen: int) -> None:
    assert fields.YenField().clean(typed) == yen


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("-1", "negative"),
        ("−500,000", "negative"),
        ("－５００", "negative"),
        ("¥-500", "negative"),
        ("▲500", "negative"),
        ("△500,000", "negative"),
        ("(500)", "negative"),
        ("500.5", "fraction"),
        ("500.000", "fraction"),
        ("500.00円", "fraction"),
        ("1.23456万円", "fraction"),
        ("1.500万円", "fraction"),
        ("50,00", "invalid"),
        ("5,0000", "invalid"),
        (",500", "invalid"),
        ("500,", "invalid"),
        ("500 000", "invalid"),
        ("500、000", "invalid"),
        ("五十万円", "invalid"),
        ("50万0", None),
        ("50万20000", "invalid"),
        ("1億20000万", "invalid"),
        ("万円", "invalid"),
        ("円", "invalid"),
        ("50k", "invalid"),
        ("5e5", "invalid"),
        ("0x10", "invalid"),
        ("5_000", "invalid"),
        ("٥٠٠", "invalid"),
        ("⑤", "invalid"),
        ("5²", "invalid"),
        ("$500", "invalid"),
        ("500円円", "invalid"),
        ("500万万", "invalid"),
        ("50万億", "invalid"),
        ("約50万円", "invalid"),
        ("50万円/月", "invalid"),
        ("1000000000000", "too_large"),
        ("9" * 5000, "too_large"),
        ("nan", "invalid"),
        ("∞", "invalid"),
    ],
)
def test_yen_that_could_be_misread_is_refused(typed: str, code: str | None) -> None:
    if code is None:
        assert fields.YenField().clean(typed) == 500_000
        return
    with pytest.raises(ValidationError) as refused:
        fields.YenField().clean(typed)
    assert refused.value.code == code
    assert str(refused.value.message)


@given(st.integers(0, parsing.MAX_YEN))
def test_every_way_to_write_an_amount_means_that_amount(amount: int) -> None:
    grouped = f"{amount:,}"
    wide = grouped.translate({ord(char): chr(ord(char) + 0xFEE0) for char in "0123456789,"})
    for typed in (str(amount), grouped, wide, f"¥{grouped}", f"{grouped}円", f" {wide}円 "):
        assert parsing.parse_yen(typed) == amount
    over, rest = divmod(amount, 10_000)
    if 0 < over < 10_000:
        assert parsing.parse_yen(f"{over}万{rest or ''}円") == amount
    short = amount // 100 * 100  # at most two decimals: three could be a thousands point
    if 0 < over < 10_000:
        assert parsing.parse_yen(f"{Decimal(short) / 10_000:f}万") == short


@given(st.text(alphabet="0123456789０５,，.．万億千円¥-−△ 　eE²⑤", max_size=14))
def test_yen_is_never_a_number_that_was_not_written(typed: str) -> None:
    try:
        amount = parsing.parse_yen(typed)
    except ValidationError:
        return
    # A second reading, made of other parts: Python's own decimal arithmetic on the bare expression.
    bare = unicodedata.normalize("NFKC", typed).replace(",", "").replace("¥", "").replace("円", "").strip()
    total = Decimal(0)
    for unit, worth in (("億", 10**8), ("万", 10**4)):
        if unit in bare:
            head, _, bare = bare.partition(unit)
            total += Decimal(head) * worth
    assert total + Decimal(bare.strip() or 0) == amount


def test_yen_shows_what_was_saved_and_what_was_typed() -> None:
    class Form(forms.Form):
        amount = fields.YenField(min_value=1)

    assert 'value="500,000"' in str(Form(initial={"amount": 500_000})["amount"])
    assert 'value="５０万"' in str(Form({"amount": "５０万"})["amount"])
    assert not Form({"amount": "50万"}, initial={"amount": 500_000}).has_changed()
    assert Form({"amount": "0"}).errors["amount"]
    assert Form({"amount": ""}).errors["amount"]
    assert Form({"amount": "　"}).errors["amount"]


@pytest.mark.parametrize(
    ("typed", "usd"),
    [
        ("1200", "1200.00"),
        ("1,200.50", "1200.50"),
        ("$1,200.5", "1200.50"),
        ("１，２００．５０", "1200.50"),
        ("US$ 10", "10.00"),
        ("10 USD", "10.00"),
        ("0.01", "0.01"),
    ],
)
def test_dollars(typed: str, usd: str) -> None:
    assert fields.UsdField().clean(typed) == Decimal(usd)


@pytest.mark.parametrize(
    "typed", ["-5", "1.234", "1.200,50", "1,20", "12,00.5", "NaN", "1e3", "5円", "50万", "9" * 30]
)
def test_dollars_that_could_be_misread_are_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        fields.UsdField().clean(typed)


def test_an_optional_number_left_empty_is_none() -> None:
    assert fields.UsdField(required=False).clean("") is None
    assert fields.YenField(required=False).clean("  ") is None
    assert fields.WholeNumberField(required=False).clean("") is None
    assert fields.DateField(required=False).clean("") is None


@pytest.mark.parametrize(("typed", "number"), [("100", 100), ("１００", 100), ("1,000", 1000), (" 5 ", 5)])
def test_whole_numbers(typed: str, number: int) -> None:
    assert fields.WholeNumberField().clean(typed) == number


@pytest.mark.parametrize("typed", ["-1", "1.0", "1,00", "1e3", "①", "", "abc", "2147483648", "9" * 5000])
def test_no_whole_numbers(typed: str) -> None:
    with pytest.raises(ValidationError):
        fields.WholeNumberField().clean(typed)


@pytest.mark.parametrize(
    ("typed", "networks"),
    [
        ("203.0.113.7", ["203.0.113.7/32"]),
        ("203.0.113.0/24", ["203.0.113.0/24"]),
        ("203.0.113.0/255.255.255.0", ["203.0.113.0/24"]),
        ("２０３．０．１１３．７", ["203.0.113.7/32"]),
        (
            "203.0.113.7, 198.51.100.0/25\r\n2001:DB8::/32",
            ["203.0.113.7/32", "198.51.100.0/25", "2001:db8::/32"],
        ),
        ("203.0.113.7\n203.0.113.7/32\n203.0.113.7", ["203.0.113.7/32"]),
        ("2001:db8::1", ["2001:db8::1/128"]),
        ("::ffff:203.0.113.7", ["203.0.113.7/32"]),
        ("203.0.113.7、198.51.100.1", ["203.0.113.7/32", "198.51.100.1/32"]),
    ],
)
def test_ip_ranges(typed: str, networks: list[str]) -> None:
    assert fields.CidrListField().clean(typed) == networks


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("0.0.0.0/0", "so wide"),
        ("::/0", "so wide"),
        ("0.0.0.0/1", "so wide"),
        ("10.0.0.0/0.0.0.0", "so wide"),
        ("::ffff:0.0.0.0/96", "so wide"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("203.0.113.256", "203.0.113.256"),
        ("203.0.113", "203.0.113"),
        ("010.0.0.1", "010.0.0.1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("203.0.113.0/33", "203.0.113.0/33"),
        ("example.jp", "example.jp"),
        ("3405803783", "3405803783"),
    ],
)
def test_ip_ranges_that_are_refused_name_the_entry(typed: str, words: str) -> None:
    with override("en"), pytest.raises(ValidationError) as refused:
        fields.CidrListField().clean(f"198.51.100.1\n{typed}")
    with override("en"):
        (message,) = refused.value.messages
    assert words in message


def test_each_bad_range_has_its_own_message_and_too_many_are_refused() -> None:
    with pytest.raises(ValidationError) as refused:
        fields.CidrListField().clean("a, b")
    assert len(refused.value.messages) == 2
    with pytest.raises(ValidationError):
        fields.CidrListField(max_items=2).clean("10.0.0.1,10.0.0.2,10.0.0.3")


@given(st.ip_addresses(v=4), st.integers(8, 32))
def test_a_proposed_range_is_accepted(address: object, prefix: int) -> None:
    proposal = str(ip_network(f"{address}/{prefix}", strict=False))
    assert fields.CidrListField().clean(proposal) == [proposal]


def test_texts_in_a_list() -> None:
    field = fields.TextListField(allowed=["gold", "silver"])
    assert field.clean("gold、silver\r\ngold") == ["gold", "silver"]
    with pytest.raises(ValidationError):
        field.clean("bronze")
    with pytest.raises(ValidationError):
        fields.TextListField(max_length=3).clean("long")


@pytest.mark.parametrize(
    "typed",
    [
        "2026-11-21",
        "2026/11/21",
        "2026.11.21",
        "2026年11月21日",
        "２０２６年１１月２１日",
        "２０２６／１１／２１",
        "令和8年11月21日",
        "令和８年１１月２１日",
        "R8.11.21",
        "r8/11/21",
        " 2026年 11月 21日 ",
    ],
)
def test_dates_as_people_write_them(typed: str) -> None:
    assert fields.DateField().clean(typed) == date(2026, 11, 21)


def test_the_first_year_of_reiwa() -> None:
    assert fields.DateField().clean("令和元年5月1日") == date(2019, 5, 1)


@pytest.mark.parametrize(
    "typed",
    [
        "2026-02-30", "2026-13-01", "R1.4.30", "R0.5.1", "H31.4.30", "26/11/21", "11/21/2026", "2026-11",
        "tomorrow", "9999-99-99", "0000-01-01", "2026年11月", "20261121",
    ],
)  # fmt: skip
def test_dates_that_could_be_misread_are_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        fields.DateField().clean(typed)


@given(st.dates(min_value=parsing.REIWA_BEGAN, max_value=parsing.REIWA_BEGAN + timedelta(days=36_000)))
def test_every_day_of_reiwa_reads_the_same_in_all_its_forms(day: date) -> None:
    year = day.year - 2018
    for typed in (
        day.isoformat(),
        f"{day.year}年{day.month}月{day.day}日",
        f"令和{year}年{day.month}月{day.day}日",
        f"R{year}.{day.month}.{day.day}",
    ):
        assert parsing.parse_date(typed) == day


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("Hanako@Example.JP", "hanako@example.jp"),
        (" hanako@example.jp ", "hanako@example.jp"),
        ("ｈａｎａｋｏ＠ｅｘａｍｐｌｅ．ｊｐ", "hanako@example.jp"),
        ("hanako+api@sub.example.co.jp", "hanako+api@sub.example.co.jp"),
        ("info@例え.jp", "info@xn--r8jz45g.jp"),
    ],
)
def test_addresses(typed: str, address: str) -> None:
    assert fields.EmailField().clean(typed) == address


@pytest.mark.parametrize(
    "typed",
    [
        "a@example.jp\nBcc: b@example.jp",
        "a@example.jp\r\nBcc: b@example.jp",
        "a@example.jp%0aBcc:b@example.jp,c@example.jp",
        '"a b"@example.jp',
        "Hanako <hanako@example.jp>",
        "a@example.jp, b@example.jp",
        "a@b@example.jp",
        "花子@example.jp",
        "a@example",
        "a@\x00example.jp",
        "a@exa mple.jp",
        "@example.jp",
        "a" * 250 + "@example.jp",
    ],
)
def test_addresses_that_are_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        fields.EmailField().clean(typed)


@pytest.mark.parametrize(
    ("typed", "clean"),
    [
        ("  みなと　物流\t株式会社 ", "みなと 物流 株式会社"),
        ("ＡＢＣ１２３（株）", "ABC123（株）"),
        ("ﾐﾅﾄ", "ミナト"),
        ("か\u3099", "が"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("bell\x07\x00", "bell"),
        ("two\nlines", "two lines"),
    ],
)
def test_a_line_of_text(typed: str, clean: str) -> None:
    assert fields.LineField().clean(typed) == clean


def test_a_paragraph_keeps_its_lines_and_its_length_is_counted_once() -> None:
    assert fields.ParagraphField().clean("a\r\nb\r\n\tc\x00") == "a\nb\n\tc"
    assert fields.ParagraphField(max_length=3).clean("a\r\nb") == "a\nb"
    with pytest.raises(ValidationError):
        fields.ParagraphField(max_length=3).clean("abcd")
    with pytest.raises(ValidationError):
        fields.LineField(max_length=160).clean("あ" * 161)


@given(st.text(max_size=60))
@example("0 \x1b\r0")
def test_clean_text_is_stable_and_holds_nothing_invisible(text: str) -> None:
    once = parsing.clean_text(text)
    assert parsing.clean_text(once) == once
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in once)
    lines = parsing.clean_text(text, lines=True)
    assert parsing.clean_text(lines, lines=True) == lines
