"""What the demo's partners want keys for, and what becomes of each key: planned once, from a fixed seed."""

import random
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from demo.calendar import in_office
from demo.places import PLACES, Place, Site
from keys.models import Key
from keys.services.status import NOT_FOR_PEOPLE
from keys.terms import LICENCE_CHECKLIST, KeyTerms, office_day
from partners.models import Contract

Reason = Key.RevokeReason


@dataclass(frozen=True, slots=True)
class Use:
    """A thing to do with one or two API products."""

    scopes: tuple[str, ...]
    name: str
    purpose: str
    name_en: str
    purpose_en: str
    category: str = "integration"
    restricted: bool = False
    models: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


USES = (
    Use(
        ("star-profiles:read", "star-profiles:schedule"),
        "出演者紹介", "公演ページに出演者のプロフィールと出演予定を表示する。",
        "Artist pages", "Shows profiles and schedules of the artists on our event pages.",
    ),
    Use(
        ("tickets:read",),
        "座席在庫照会", "公演ごとの残席をサイトに表示する。",
        "Seat availability", "Shows how many seats are left for each event.",
    ),
    Use(
        ("tickets:read", "tickets:reserve", "tickets:cancel"),
        "チケット予約", "当社サイトで受け付けた座席の予約と取消を登録する。",
        "Reservations", "Registers reservations and cancellations made on our site.",
        "revenue", features=("seat-maps",),
    ),
    Use(
        ("merchandise:read",),
        "グッズ在庫照会", "公式グッズの在庫と価格を商品ページに表示する。",
        "Goods catalogue", "Shows stock and prices of official goods.",
    ),
    Use(
        ("merchandise:read", "merchandise:orders"),
        "グッズ受注登録", "当社で受けた公式グッズの注文を登録する。",
        "Goods orders", "Registers orders of official goods taken by us.",
        "revenue", features=("preorders",),
    ),
    Use(
        ("rankings:read", "rankings:history"),
        "ランキング掲載", "週次ランキングを番組とサイトに掲載する。",
        "Charts feed", "Publishes the weekly charts with our own commentary.",
    ),
    Use(
        ("super-chat:read", "super-chat:moderate"),
        "スーパーチャット表示", "生配信の画面に投げ銭を表示し、不適切な表示を隠す。",
        "Super chat overlay", "Shows super chats on the live screen and hides abusive ones.",
        features=("realtime",),
    ),
    Use(
        ("fan-engagement:read",),
        "応援数の集計", "キャンペーンの応援数を日次で集計する。",
        "Campaign totals", "Counts the cheers of a campaign once a day.",
        "analytics",
    ),
    Use(
        ("fan-engagement:read", "fan-engagement:polls"),
        "ファン投票", "キャンペーンサイトでファン投票を行う。",
        "Fan polls", "Runs fan polls on the campaign site.",
        features=("polls",),
    ),
    Use(
        ("analytics:read", "analytics:export"),
        "視聴統計の取得", "地域別の視聴統計を月次レポートに使う。",
        "Audience statistics", "Feeds regional audience statistics into monthly reports.",
        "analytics", restricted=True, features=("export",),
    ),
    Use(
        ("analytics:read", "analytics:forecast"),
        "需要予測", "公演の需要を予測し、会場の規模を決める。",
        "Demand forecast", "Forecasts the demand for events to choose the venue.",
        "revenue", restricted=True, models=("forecast-v2",),
    ),
    Use(
        ("media:read", "media:download"),
        "宣材写真の取得", "許諾された宣材写真を記事に使う。",
        "Press pictures", "Uses licensed press pictures in articles.",
        restricted=True, features=("previews",),
    ),
)  # fmt: skip

STAR_USES = (
    Use(
        ("star-profiles:read", "star-profiles:update"),
        "公式プロフィール更新", "公式サイトから自分のプロフィールを更新する。",
        "Own profile", "Updates one's own profile from the official site.", "rights_holder",
    ),
    Use(
        ("fan-engagement:read", "fan-engagement:messages"),
        "ファンクラブ配信", "ファンクラブ会員へのお知らせを配信する。",
        "Fan club news", "Sends news to the members of the fan club.",
        "rights_holder", features=("announcements",),
    ),
    Use(
        ("tickets:read",), "公演一覧の表示", "公式サイトに公演と残席を表示する。",
        "Own events", "Shows one's own events and seats on the official site.", "rights_holder",
    ),
)  # fmt: skip

TEAM_USES = (
    Use(
        ("analytics:read", "analytics:export", "analytics:datasets"),
        "日次集計", "視聴と購買の統計を夜間に集計する。",
        "Nightly totals", "Adds up views and purchases at night.",
        "internal", models=("sentiment-v1",), features=("export",),
    ),
    Use(
        ("rankings:read", "rankings:recalculate"),
        "ランキング再集計", "集計ミスがあったときにランキングを計算し直す。",
        "Recalculation", "Recalculates the rankings after a mistake.", "internal",
    ),
    Use(
        ("super-chat:read", "fan-engagement:read"),
        "利用状況モニター", "社内の監視画面に利用状況を表示する。",
        "Usage monitor", "Shows use on the internal screens.", "internal", features=("realtime",),
    ),
)  # fmt: skip

PORTAL_AGE = timedelta(days=92)
ENVIRONMENTS = ("live", "live", "live", "test", "live", "dev")
SUFFIX = {"live": "", "test": "（検証）", "dev": "（開発）"}
SUFFIX_EN = {"live": "", "test": " (test)", "dev": " (dev)"}


@dataclass(slots=True)
class Wish:
    """One key that somebody will ask for at `asked_at`, and its fate."""

    place: Place
    use: Use
    environment: str
    asked_at: datetime
    days: int
    fate: str = "lives"
    reason: str = ""
    stops_at: str = ""
    rotation_days: int = 180
    busy: float = 1.0
    is_quick: bool = False

    def was_moved_over(self, now: datetime) -> bool:
        """Whether the key is older than the portal: it came from the register that the portal replaced."""
        return now - self.asked_at > PORTAL_AGE


def plan_wishes(
    places: tuple[Place, ...], *, now: datetime, rng: random.Random, every: int = 1
) -> list[Wish]:
    """All keys of the last six months: about 130 (or one in `every`), each with its fate."""
    wishes = []
    for place in places:
        uses = _uses_of(place)
        for number in range(place.n_keys):
            oldest = _signed_since(place) if place.deals else 178
            age = oldest - (oldest - 9) * (number + rng.random() * 0.8) / place.n_keys
            asked_at = in_office(now - timedelta(days=age, minutes=rng.randrange(600)))
            wishes.append(
                Wish(
                    place=place,
                    use=uses[number % len(uses)],
                    environment=ENVIRONMENTS[(number + len(place.name)) % len(ENVIRONMENTS)],
                    asked_at=asked_at,
                    days=rng.choice((180, 270, 365)),
                    # Older than a class allows would be late: the portal's first users chose the long one.
                    rotation_days=180 if age > 75 else rng.choice((60, 90, 90)),
                    busy=rng.lognormvariate(0, 1.1),
                )
            )
    wishes = wishes[::every]
    _give_fates(wishes, now=now, rng=rng)
    return sorted(wishes, key=lambda wish: wish.asked_at)


def _signed_since(place: Place) -> int:
    return min(178, -min(deal.first for deal in place.deals) - 3)


def _uses_of(place: Place) -> tuple[Use, ...]:
    if place.kind == "internal":
        return TEAM_USES
    if place.kind == "rights_holder":
        return STAR_USES
    if any(deal.level == "restricted" for deal in place.deals):
        return USES
    return tuple(use for use in USES if not use.restricted)


def _give_fates(wishes: list[Wish], *, now: datetime, rng: random.Random) -> None:
    """Not every key lives: some are revoked, for each reason there is, some expire or are never collected."""
    old = [wish for wish in wishes if (now - wish.asked_at).days > 45]
    rng.shuffle(old)
    asked_here = [wish for wish in old if not wish.was_moved_over(now)]
    answers = ["rejected"] * 6 + ["withdrawn"] * 3 + ["ignored"] * 2
    for wish, answer in zip(asked_here, answers, strict=False):
        wish.fate = answer
    fates = [
        *(("expires", "") for _ in range(9)),
        *(("revoked", reason.value) for reason in Reason if reason not in NOT_FOR_PEOPLE for _ in range(2)),
        *(("unclaimed", "") for _ in range(3)),
        *(("suspended", "") for _ in range(5)),
        *(("unused", "") for _ in range(4)),
        *(("stopped_once", "") for _ in range(3)),
        *(("late", "") for _ in range(3)),
    ]
    others = [wish for wish in old if wish.fate == "lives"]
    for wish, (fate, reason) in zip(others, fates, strict=False):
        wish.fate, wish.reason = fate, reason
        if fate == "expires":
            wish.days = 30
        elif fate == "late":
            wish.rotation_days = 60
            wish.days = 365
    recent = sorted(wishes, key=lambda wish: wish.asked_at)[-7:]
    for number, wish in enumerate(recent):
        # Decided within hours, so that the links of those that wait are not older than three days.
        wish.fate, wish.reason, wish.is_quick = "waits" if number % 3 == 0 else "lives", "", True
        wish.asked_at = now - timedelta(hours=64 - 7 * number, minutes=13 * number)


def open_wishes(*, now: datetime) -> list[Wish]:
    """Requests that wait today, one at each step of the path, some of them at several."""
    places = {place.name: place for place in PLACES}
    minato, hokushin, shinonome, larkfield, hoshino, tsukikage, aoba, harukaze, team = (
        places[name]
        for name in (
            "みなとエンタテインメント株式会社", "北辰メディア株式会社", "東雲チケット株式会社",
            "Larkfield Analytics Ltd.", "星野オフィス", "月影プロダクション", "アオバ電子商事株式会社",
            "合同会社ハルカゼ", "データ基盤チーム",
        )
    )  # fmt: skip

    def hours(n: int) -> datetime:
        return now - timedelta(hours=n)

    return [
        # Nobody answered: overdue, and with the role's deputies once the portal keeps time again.
        Wish(
            hokushin,
            USES[3],
            "live",
            in_office(now - timedelta(days=13)),
            150,
            stops_at="legal",
            rotation_days=90,
            is_quick=True,
        ),
        # Broken glass: its clock runs for some hours yet.
        Wish(minato, USES[1], "live", hours(7), 90, fate="emergency", stops_at="legal", is_quick=True),
        Wish(minato, USES[2], "live", hours(52), 240, stops_at="coo", rotation_days=90, is_quick=True),
        Wish(larkfield, USES[9], "live", hours(46), 180, stops_at="coo", rotation_days=60, is_quick=True),
        Wish(shinonome, USES[1], "test", hours(40), 180, stops_at="tech", rotation_days=90, is_quick=True),
        Wish(team, TEAM_USES[2], "dev", hours(30), 120, stops_at="tech", rotation_days=60, is_quick=True),
        Wish(hokushin, USES[6], "live", hours(26), 180, stops_at="legal", rotation_days=90, is_quick=True),
        Wish(minato, USES[5], "test", hours(34), 180, "sent_back", stops_at="legal", is_quick=True),
        Wish(
            hoshino,
            STAR_USES[1],
            "live",
            hours(28),
            120,
            stops_at="rights_holder",
            rotation_days=90,
            is_quick=True,
        ),
        Wish(
            tsukikage,
            STAR_USES[0],
            "live",
            hours(20),
            120,
            stops_at="rights_holder",
            rotation_days=90,
            is_quick=True,
        ),
        Wish(aoba, USES[5], "live", hours(7), 120, stops_at="pm", rotation_days=90, is_quick=True),
        Wish(harukaze, USES[0], "live", hours(3), 120, stops_at="pm", rotation_days=90, is_quick=True),
    ]


def terms_of(wish: Wish, site: Site, *, now: datetime) -> KeyTerms | None:
    """The wish as terms that can be submitted now; None where no contract covers it any more."""
    contract = _contract_for(site, wish.use, now)
    internal = wish.place.kind == "internal"
    if contract is None and not internal:
        return None
    last = office_day(now) + timedelta(days=wish.days)
    if contract is not None:
        last = min(last, contract.ends_on)
    if last <= office_day(now) + timedelta(days=1):
        return None
    terms = KeyTerms(
        **_who(wish, site),
        **_agreed(contract),
        **_what(wish),
        **_how_much(wish, internal=internal),
        rotation_days=wish.rotation_days,
        expires_on=last.isoformat(),
        auto_renew=False,
        end_of_life="expire",
    )
    revenue = wish.use.category == "revenue"
    if site.billing is None or wish.environment != "live" or not (revenue or wish.use.restricted):
        return terms
    return replace(
        terms,
        monthly_budget_usd="1200.00" if revenue else "400.00",
        budget_thresholds=(50, 80, 90, 100),
        suspend_at_budget=not revenue,
        billing_contact=site.billing.public_id,
    )


def _who(wish: Wish, site: Site) -> dict[str, Any]:
    english = wish.place.language == "en"
    suffix = (SUFFIX_EN if english else SUFFIX)[wish.environment]
    return {
        "name": (wish.use.name_en if english else wish.use.name) + suffix,
        "partner": site.partner.public_id,
        "partner_kind": site.partner.kind,
        "workspace": site.workspaces[len(wish.use.scopes) % len(site.workspaces)].public_id,
        "recipient": site.technical.public_id,
        "consent_contact": site.consent.public_id if site.consent else "",
        "purpose": wish.use.purpose_en if english else wish.use.purpose,
    }


def _agreed(contract: Contract | None) -> dict[str, Any]:
    return {
        "contract": contract.public_id if contract else "",
        "monthly_amount_jpy": contract.monthly_amount_jpy if contract else 0,
        "contract_starts_on": contract.starts_on.isoformat() if contract else "",
        "contract_ends_on": contract.ends_on.isoformat() if contract else "",
        "licence_level": contract.licence_level if contract else "",
        "terms_version": contract.terms_version if contract else "",
        "licence_checklist": LICENCE_CHECKLIST if contract else (),
    }


def _what(wish: Wish) -> dict[str, Any]:
    use, live = wish.use, wish.environment == "live"
    return {
        "products": tuple(dict.fromkeys(scope.partition(":")[0] for scope in use.scopes)),
        "scopes": use.scopes,
        "model_names": use.models,
        "feature_names": use.features,
        "environment": wish.environment,
        "purpose_category": use.category,
        "ip_ranges": (wish.place.network,) if live else (),
    }


def _how_much(wish: Wish, *, internal: bool) -> dict[str, Any]:
    revenue = wish.use.category == "revenue"
    plan = "internal" if internal else "premium" if revenue else "partner"
    rpm, rph = {"partner": (100, 1_000), "premium": (300, 10_000), "internal": (200, 5_000)}[plan]
    return {
        "plan": plan,
        "sla_latency_ms": 500 if revenue else None,
        "sla_success_percent": "99" if revenue else "",
        "rpm": rpm,
        "rph": rph,
        "burst": 60 if revenue else 20,
        "concurrency": 30 if revenue else 10,
        "monthly_budget_usd": "",
        "budget_thresholds": (),
        "suspend_at_budget": False,
        "billing_contact": "",
    }


def _contract_for(site: Site, use: Use, now: datetime) -> Contract | None:
    """The first contract in force that covers the use's data and lasts another fortnight."""
    today: date = office_day(now)
    fit = [
        contract
        for contract in site.contracts
        if contract.starts_on <= today <= contract.ends_on - timedelta(days=14)
        and (contract.licence_level == "restricted" or not use.restricted)
    ]
    return fit[0] if fit else None
