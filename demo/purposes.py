"""What the demo's partners do with API products: names and purposes in both languages."""

from dataclasses import dataclass


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
