"""A value of a mail is read whole or not at all (R4): what is not understood stands there for a person."""

from datetime import date

import pytest

from intake.meaning import meaning_of
from tests.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("written", "yen"),
    [
        ("30万円", 300_000),
        ("¥500,000", 500_000),
        ("５００，０００円", 500_000),
        ("月額 50万円", 500_000),
        ("50万円/月", 500_000),
        ("500,000 JPY per month", 500_000),
        ("500000", 500_000),
        ("1億2000万円", 120_000_000),
        ("500千円", None),
        ("3百万円", None),
        ("5,000ドル", None),
        ("USD 5,000", None),
        ("$5,000", None),
        ("€5,000", None),
        ("年額6,000,000円", None),
        ("6,000,000円/年", None),
        ("500,000円（税抜）", None),
        ("500,000円（税込）", None),
        ("約50万円", None),
        ("50万円以上", None),
        ("30万円～50万円", None),
        ("30万円、または50万円", None),
        ("50万円では高い", None),
        ("未定", None),
        ("", None),
    ],
)
def test_amounts(written: str, yen: int | None) -> None:
    assert meaning_of({"amount": written}).amount_jpy == yen


@pytest.mark.parametrize(
    ("written", "networks"),
    [
        ("203.0.113.0/24", ("203.0.113.0/24",)),
        ("203.0.113.7、198.51.100.9", ("203.0.113.7/32", "198.51.100.9/32")),
        ("203.0.113.7\n198.51.100.9", ("203.0.113.7/32", "198.51.100.9/32")),
        ("２０３．０．１１３．７", ("203.0.113.7/32",)),
        ("203.0.113.1 - 203.0.113.6", ()),
        ("203.0.113.1〜203.0.113.6", ()),
        ("203.0.113.1から203.0.113.6", ()),
        ("203.0.113.0 /24", ()),
        ("203.0.113.7 は使用しません。198.51.100.9 のみ", ()),
        ("203.0.113.7 は使用しません", ()),
        ("203.0.113.7 (office)", ()),
        ("固定IPなし", ()),
    ],
)
def test_addresses(written: str, networks: tuple[str, ...]) -> None:
    assert meaning_of({"addresses": written}).ip_ranges == networks


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("2027/01/10～2027/06/30", (date(2027, 1, 10), date(2027, 6, 30))),
        ("令和9年1月10日（日）から令和9年6月30日（水）まで", (date(2027, 1, 10), date(2027, 6, 30))),
        ("2027-01-10 - 2027-06-30", (date(2027, 1, 10), date(2027, 6, 30))),
        ("from 2027-01-10 to 2027-06-30", (date(2027, 1, 10), date(2027, 6, 30))),
        ("本日から 2027年06月30日まで", (None, date(2027, 6, 30))),
        ("2027/06/30まで", (None, date(2027, 6, 30))),
        ("2027/01/10～2027/06/30（予定）", (None, None)),
        ("2027/01/10～2027/06/30 は不可", (None, None)),
        ("2027/01/10 から半年", (None, None)),
        ("2027/01/10～2027/06/30、延長あり", (None, None)),
    ],
)
def test_periods(written: str, days: tuple[date | None, date | None]) -> None:
    meaning = meaning_of({"period": written})
    assert (meaning.starts_on, meaning.ends_on) == days


@pytest.mark.parametrize(
    ("written", "environment"),
    [
        ("本番", "live"),
        ("本番環境", "live"),
        ("Test", "test"),
        ("test environment", "test"),
        ("開発", "dev"),
        ("本番ではない", ""),
        ("本番とテスト", ""),
        ("not production", ""),
        ("本番（後日）", ""),
    ],
)
def test_environments(written: str, environment: str) -> None:
    assert meaning_of({"environment": written}).environment == environment


@pytest.mark.parametrize(
    ("written", "codes"),
    [
        ("catalog", {"catalog"}),
        ("Catalog、Orders", {"catalog", "orders"}),
        ("catalog API and orders API", {"catalog", "orders"}),
        ("ｃａｔａｌｏｇ", {"catalog"}),
        ("catalog以外", set()),
        ("catalog、まだ決まっていません", set()),
        ("ordersは使いません", set()),
    ],
)
def test_products(cast: Cast, written: str, codes: set[str]) -> None:
    assert {product.code for product in meaning_of({"product": written}).products} == codes


def test_an_address_in_full_width_is_read() -> None:
    told = meaning_of({"contact": "田中（ｔａｎａｋａ＠ｍｉｎａｔｏ－ｅｎｔ．ｅｘａｍｐｌｅ．ｊｐ）"})
    assert told.addresses == ("tanaka@minato-ent.example.jp",)
