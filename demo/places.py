"""The demo's fifteen partners with contacts, contracts and workspaces. All of them are invented."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from accounts.models import User
from demo.calendar import TOKYO
from demo.people import actor_for
from keys.workspaces.services.limits import limit_workspace
from partners.corporate_number import check_digit
from partners.models import Contact, Contract, IdentityCheck, Partner, Workspace
from partners.services import (
    add_contact,
    add_contract,
    add_workspace,
    record_identity_check,
    register_partner,
)


@dataclass(frozen=True, slots=True)
class Deal:
    """A contract: yen a month, and its first and last day counted from the day of the demo."""

    title: str
    amount: int
    first: int
    last: int
    level: str = "partner"


@dataclass(frozen=True, slots=True)
class Place:
    """A partner. `people` are `(name, title, mailbox, purposes)` at `domain`."""

    name: str
    kana: str
    kind: str
    domain: str
    people: tuple[tuple[str, str, str, tuple[str, ...]], ...]
    deals: tuple[Deal, ...]
    workspaces: tuple[tuple[str, str], ...]
    network: str
    language: str = "ja"
    time_zone: str = "Asia/Tokyo"
    n_keys: int = 8
    checked: bool = True
    note: str = ""
    # Of the first workspace, shared by its keys: calls an hour, and a monthly budget in USD.
    shared: tuple[int, Decimal] | None = None


TECH, BILL, LEGAL, CONSENT = "technical", "billing", "legal", "consent"

PLACES = (
    Place(
        "みなとエンタテインメント株式会社", "ミナトエンタテインメント", "company", "minato-ent.example.jp",
        (
            ("田中 美咲", "デジタル推進部 部長", "tanaka", (TECH,)),
            ("井上 拓也", "経理部", "inoue", (BILL, LEGAL)),
        ),
        (
            Deal("スター情報・チケット連携契約", 600_000, -200, 300, "partner"),
            Deal("需要予測データ利用契約", 1_200_000, -120, 245, "restricted"),
        ),
        (("公演ポータル", "minato-portal"), ("需要予測", "minato-forecast")), "203.0.113.0/27", n_keys=15,
        shared=(20_000, Decimal(3_000)),
    ),
    Place(
        "北辰メディア株式会社", "ホクシンメディア", "company", "hokushin-media.example.jp",
        (
            ("佐々木 亮", "配信技術部", "r.sasaki", (TECH,)),
            ("小野寺 恵", "契約管理室", "onodera", (LEGAL, BILL)),
        ),
        (Deal("配信・スーパーチャット連携契約", 500_000, -190, 320, "partner"),),
        (("ライブ配信", "hokushin-live"), ("編成", "hokushin-hensei")), "203.0.113.32/27", n_keys=11,
    ),
    Place(
        "東雲チケット株式会社", "シノノメチケット", "company", "shinonome-ticket.example.jp",
        (
            ("伊藤 翼", "システム開発課", "tsubasa.ito", (TECH,)),
            ("森 千尋", "管理部", "mori", (BILL, LEGAL)),
        ),
        (Deal("チケット在庫・予約連携契約", 500_001, -185, 350, "partner"),),
        (("予約サイト", "shinonome-web"), ("店頭端末", "shinonome-kiosk")), "203.0.113.64/27", n_keys=12,
    ),
    Place(
        "アオバ電子商事株式会社", "アオバデンシショウジ", "company", "aoba-denshi.example.jp",
        (
            ("高橋 直樹", "EC事業部", "n.takahashi", (TECH,)),
            ("青木 早苗", "経理課", "aoki", (BILL, LEGAL)),
        ),
        (
            Deal("グッズ販売連携契約", 300_000, -180, 180, "partner"),
            Deal("ランキング掲載契約", 180_000, -90, 275, "partner"),
        ),
        (("グッズEC", "aoba-ec"),), "203.0.113.96/27", n_keys=10,
        note="2つの契約を合わせると月額48万円。",
    ),
    Place(
        "合同会社ハルカゼ", "ハルカゼ", "company", "harukaze.example.jp",
        (("渡辺 健一", "代表社員", "watanabe", (TECH, BILL, LEGAL)),),
        (Deal("プロフィール掲載契約", 80_000, -150, 215, "partner"),),
        (("応援アプリ", "harukaze-app"),), "198.51.100.0/28", n_keys=7,
    ),
    Place(
        "三日月トラベル株式会社", "ミカヅキトラベル", "company", "mikazuki-travel.example.jp",
        (
            ("三浦 大輔", "商品企画部", "miura", (TECH,)),
            ("橋本 唯", "総務部", "hashimoto", (BILL, LEGAL)),
        ),
        (
            Deal("公演ツアー連携契約（旧）", 250_000, -200, -75, "partner"),
            Deal("公演ツアー連携契約", 320_000, -74, 291, "partner"),
        ),
        (("ツアー予約", "mikazuki-tour"),), "198.51.100.16/28", n_keys=10,
    ),
    Place(
        "Larkfield Analytics Ltd.", "Larkfield Analytics", "company", "larkfield.example.com",
        (
            ("Priya Raman", "Head of Data Engineering", "priya", (TECH,)),
            ("Tom Ashworth", "Finance", "tom", (BILL, LEGAL)),
        ),
        (Deal("Audience statistics licence", 1_200_000, -160, 205, "restricted"),),
        (("Audience model", "larkfield-audience"),), "198.51.100.32/28", "en", "Europe/London", n_keys=10,
    ),
    Place(
        "Nordlicht Daten GmbH", "Nordlicht Daten", "company", "nordlicht.example.com",
        (
            ("Jonas Weber", "Platform", "jonas.weber", (TECH,)),
            ("Katrin Brandt", "Contracts", "katrin.brandt", (BILL, LEGAL)),
        ),
        (Deal("Rankings feed for Europe", 450_000, -140, 225, "partner"),),
        (("Charts", "nordlicht-charts"),), "198.51.100.48/28", "en", "Europe/Berlin", n_keys=9,
    ),
    Place(
        "灯台エージェンシー株式会社", "トウダイエージェンシー", "agency", "todai-agency.example.jp",
        (
            ("加藤 翔太", "メディア運用部", "s.kato", (TECH,)),
            ("中島 綾", "法務", "nakajima", (LEGAL, BILL)),
        ),
        (Deal("広告運用データ連携契約", 500_000, -175, 190, "partner"),),
        (("広告運用", "todai-ads"), ("レポート", "todai-report")), "192.0.2.0/28", n_keys=12,
    ),
    Place(
        "株式会社さくらプロモーション", "サクラプロモーション", "agency", "sakura-promo.example.jp",
        (
            ("小林 由紀子", "制作進行", "y.kobayashi", (TECH,)),
            ("原田 学", "経理", "harada", (BILL, LEGAL)),
        ),
        (Deal("キャンペーン連携契約", 150_000, -130, 235, "partner"),),
        (("キャンペーン", "sakura-campaign"),), "192.0.2.16/28", n_keys=8,
    ),
    Place(
        "Blue Heron Media Inc.", "Blue Heron Media", "agency", "blueheron.example.com",
        (
            ("Grace Liu", "Engineering Manager", "grace", (TECH,)),
            ("Marcus Bell", "Accounts", "marcus", (BILL, LEGAL)),
        ),
        (Deal("Fan engagement pilot", 300_000, -95, 270, "partner"),),
        (("Pilot", "blueheron-pilot"),), "192.0.2.32/28", "en", "America/Los_Angeles", n_keys=7,
    ),
    Place(
        "星野オフィス", "ホシノオフィス", "rights_holder", "hoshino-office.example.jp",
        (
            ("星野 そら", "本人", "sora", (CONSENT,)),
            ("岡田 真理", "マネージャー", "okada", (TECH, BILL)),
        ),
        (Deal("公式サイト連携契約", 300_000, -165, 200, "partner"),),
        (("公式サイト", "hoshino-site"),), "192.0.2.48/29", n_keys=8,
    ),
    Place(
        "月影プロダクション", "ツキカゲプロダクション", "rights_holder", "tsukikage.example.jp",
        (
            ("月影 蓮", "代表", "ren", (CONSENT, LEGAL)),
            ("西村 楓", "デジタル担当", "nishimura", (TECH, BILL)),
        ),
        (Deal("所属スター情報連携契約", 600_000, -6, 359, "restricted"),),
        (("ファンクラブ", "tsukikage-fc"),), "192.0.2.56/29", n_keys=0, checked=False,
    ),
    Place(
        "データ基盤チーム", "データキバン", "internal", "kagiban-demo.example.jp",
        (("上田 航", "データ基盤", "ueda", (TECH, BILL)),), (),
        (("集計基盤", "internal-data"),), "10.40.0.0/16", n_keys=13,
    ),
    Place(
        "ランキング編成チーム", "ランキングヘンセイ", "internal", "ranking.example.jp",
        (("坂本 彩", "ランキング編成", "sakamoto", (TECH,)),), (),
        (("編成ツール", "internal-ranking"),), "10.41.0.0/16", n_keys=10,
    ),
)  # fmt: skip


@dataclass(slots=True)
class Site:
    """A registered place."""

    place: Place
    partner: Partner
    workspaces: list[Workspace]
    technical: Contact
    billing: Contact | None
    consent: Contact | None
    contracts: list[Contract] = field(default_factory=list)


def register(place: Place, number: int, *, by: User, checker: User, now: datetime) -> Site:
    """One partner with its people and workspaces; contracts follow when they are signed."""
    actor = actor_for(by)
    abroad = place.language == "en"
    twelve = f"9999{number:08d}"
    partner = register_partner(
        actor=actor,
        by=by,
        kind=place.kind,
        name=place.name,
        name_kana=place.kana,
        corporate_number=""
        if abroad or place.kind in {"internal", "rights_holder"}
        else check_digit(twelve) + twelve,
        website="" if place.kind == "internal" else f"https://{place.domain}/",
        note=place.note,
        now=now,
    )
    contacts = _introduce(place, partner, by=by, now=now)
    workspaces = [
        add_workspace(
            actor=actor, by=by, partner=partner, code=code, name=name, time_zone=place.time_zone, now=now
        )
        for name, code in place.workspaces
    ]
    if place.shared:
        rph, budget = place.shared
        limit_workspace(
            actor=actor_for(checker), by=checker, workspace=workspaces[0], rpm=0, rph=rph,
            monthly_budget_usd=budget, reason="公演直前のアクセス集中に備えます。", now=now,
        )  # fmt: skip
    if place.checked:
        points = [point.value for point in IdentityCheck.points_for(place.kind)]
        record_identity_check(
            actor=actor_for(checker), checked_by=checker, partner=partner, checklist=points, now=now
        )

    def first(purpose: str) -> Contact | None:
        return next((contact for contact in contacts if purpose in contact.purposes), None)

    technical = first(TECH)
    if technical is None:
        raise ValueError(f"{place.name} has nobody who receives keys")
    return Site(place, partner, workspaces, technical, first(BILL), first(CONSENT))


def _introduce(place: Place, partner: Partner, *, by: User, now: datetime) -> list[Contact]:
    return [
        add_contact(
            actor=actor_for(by),
            by=by,
            partner=partner,
            name=name,
            title=title,
            email=f"{mailbox}@{place.domain}",
            purposes=purposes,
            language=place.language,
            now=now,
        )
        for name, title, mailbox, purposes in place.people
    ]


def sign(site: Site, deal: Deal, *, by: User, terms_version: str, today: datetime, now: datetime) -> None:
    """One contract; its days count from the day of the demo."""
    day = today.astimezone(TOKYO).date()
    contract = add_contract(
        actor=actor_for(by),
        by=by,
        partner=site.partner,
        title=deal.title,
        monthly_amount_jpy=deal.amount,
        starts_on=day + timedelta(days=deal.first),
        ends_on=day + timedelta(days=deal.last),
        licence_level=deal.level,
        terms_version=terms_version,
        now=now,
    )
    site.contracts.append(contract)
