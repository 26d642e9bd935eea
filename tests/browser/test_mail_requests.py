"""A mail that becomes a draft that becomes a key, by the people who do it (R4)."""

import re
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from intake.models import ReceivedMail
from keys.terms.terms import office_day
from tests.browser.people import DESKTOP, PHONE, Visitor, assert_accessible, assert_fits, give_app, unfold
from tests.browser.test_journeys import approve_by_mail, collect, submit, tick
from tests.cast import Cast, make_contact
from tests.dataplane import make_gateway
from tests.intake.letters import mail
from tests.product import ROOT, Product

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_mail_becomes_a_draft_and_a_key(
    cast: Cast, product: Product, guests: Visitor, process_environment: dict[str, str]
) -> None:
    app = give_app(cast.tech)
    make_contact(cast.company, "青木 澪", "technical", address="mio@minato.example.jp")
    until = office_day(timezone.now()) + timedelta(days=180)
    body = (
        "■用途：配送状況照会アプリでの位置情報の表示\n"
        f"■期間：本日から {until:%Y年%m月%d日}まで\n■担当者：青木 澪\n■対象API：Catalog\n■月額：30万円\n"
    )
    raw = mail(body, charset="iso-2022-jp", encoding="7bit")
    command = [sys.executable, "manage.py", "ingest_mail"]
    subprocess.run(command, cwd=ROOT, env=process_environment, input=raw, check=True, capture_output=True)
    letter = ReceivedMail.objects.get()
    answer = product.mail_to("mio@minato.example.jp")
    assert letter.public_id in answer.subject
    assert "位置情報" not in answer.text

    page = guests.open("/mail/", cast.pm, language="ja", **PHONE)
    assert_fits(page)
    assert_accessible(page)
    page.get_by_role("link", name="APIキー発行依頼（配送状況照会）").click()
    page.wait_for_url(f"**/mail/{letter.public_id}/")
    expect(page.locator("main")).to_contain_text("配送状況照会アプリでの位置情報の表示")
    expect(page.locator("main")).to_contain_text("→ Catalog (catalog)")
    assert_fits(page)
    assert_accessible(page)

    page = guests.open(f"/mail/{letter.public_id}/", cast.pm, **DESKTOP)
    page.get_by_role("button", name="Begin a draft for").click()
    page.wait_for_url("**/edit/")
    expect(page.locator("main")).to_contain_text("APIキー発行依頼（配送状況照会）")
    assert page.input_value("#id_name") == "", "a subject is no name for a key"
    assert page.input_value("#id_purpose") == "配送状況照会アプリでの位置情報の表示"
    assert page.input_value("#id_expires_on") == until.isoformat()
    expect(page.locator("[name=products][value=catalog]")).to_be_checked()
    expect(page.locator(f"[name=contract][value={cast.small.public_id}]")).to_be_checked()
    expect(page.locator("#id_recipient option:checked")).to_contain_text("mio@minato.example.jp")
    expect(page.locator("main")).to_contain_text(f"Read the mail {letter.public_id}")
    assert_accessible(page)

    page.fill("#id_name", "配送状況照会")
    tick(page, "scopes", "catalog:read")
    tick(page, "purpose_category", "integration")
    tick(page, "environment", "live")
    tick(page, "licence_checklist", "policy_read", "level_fits", "no_personal_data", "no_resale")
    unfold(page)
    page.fill("#id_ip_ranges", "203.0.113.0/24")
    asked = submit(page)
    assert asked.state == "in_review"
    expect(page.locator("main")).to_contain_text(letter.public_id)
    late = guests.open("/mail/?view=taken", cast.requester, **DESKTOP)
    expect(late.locator("main")).to_contain_text(asked.public_id)
    late.get_by_role("link", name=re.compile("APIキー発行依頼")).click()
    expect(late.get_by_role("button", name=re.compile("Begin a draft"))).to_have_count(0)

    approve_by_mail(guests, product, cast.pm2, **PHONE)
    approve_by_mail(guests, product, cast.legal, **PHONE)
    approve_by_mail(guests, product, cast.tech, secret=app)
    text = collect(guests, product, "mio@minato.example.jp")
    place = {"ip": "203.0.113.9", "workspace": cast.company.workspaces.get().code}
    told = product.verify(make_gateway(), text, scopes=["catalog:read"], **place)
    assert told["code"] == "VALID", told
