"""The catalogue of Starlist's APIs: eight products with their scopes, and the three plans of the runbook."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM
from keys.models import ApiProduct, Plan, Scope

READ, WRITE, ADMIN = "read", "write", "admin"


@dataclass(frozen=True, slots=True)
class Product:
    """An API product; `scopes` are `(what, kind, Japanese, English)`."""

    code: str
    name: str
    name_en: str
    level: str
    description: str
    scopes: tuple[tuple[str, str, str, str], ...]
    model_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()


PRODUCTS = (
    Product(
        "star-profiles", "スタープロフィール", "Star profiles", "public",
        "公開プロフィール、経歴、出演予定。",
        (
            ("read", READ, "プロフィールの閲覧", "Read profiles"),
            ("schedule", READ, "出演予定の閲覧", "Read schedules"),
            ("update", WRITE, "自分のプロフィールの更新", "Update one's own profile"),
        ),
        feature_names=("translations",),
    ),
    Product(
        "fan-engagement", "ファンエンゲージメント", "Fan engagement", "partner",
        "フォロー、応援メッセージ、投票の集計。個人は特定できない。",
        (
            ("read", READ, "集計の閲覧", "Read totals"),
            ("polls", WRITE, "投票の作成", "Create polls"),
            ("messages", WRITE, "お知らせの配信", "Send announcements"),
        ),
        feature_names=("polls", "announcements"),
    ),
    Product(
        "super-chat", "スーパーチャット", "Super chat", "partner",
        "配信中の投げ銭と表示の管理。",
        (
            ("read", READ, "投げ銭の閲覧", "Read super chats"),
            ("moderate", WRITE, "表示の管理", "Moderate"),
            ("refunds", WRITE, "返金の申請", "Ask for refunds"),
        ),
        feature_names=("realtime",),
    ),
    Product(
        "rankings", "ランキング", "Rankings", "public",
        "日次・週次・ジャンル別のランキング。",
        (
            ("read", READ, "ランキングの閲覧", "Read rankings"),
            ("history", READ, "過去のランキングの閲覧", "Read past rankings"),
            ("recalculate", ADMIN, "再集計の実行", "Recalculate"),
        ),
        feature_names=("genres",),
    ),
    Product(
        "analytics", "データ分析", "Analytics", "restricted",
        "視聴と購買の統計、需要予測。",
        (
            ("read", READ, "統計の閲覧", "Read statistics"),
            ("export", READ, "統計の一括取得", "Export statistics"),
            ("forecast", READ, "需要予測の実行", "Run forecasts"),
            ("datasets", ADMIN, "データセットの管理", "Manage data sets"),
        ),
        model_names=("forecast-v2", "sentiment-v1"),
        feature_names=("export", "realtime"),
    ),
    Product(
        "tickets", "チケット", "Tickets", "partner",
        "公演、座席在庫、予約。",
        (
            ("read", READ, "公演と在庫の閲覧", "Read events and seats"),
            ("reserve", WRITE, "座席の予約", "Reserve seats"),
            ("cancel", WRITE, "予約の取消", "Cancel reservations"),
        ),
        feature_names=("seat-maps",),
    ),
    Product(
        "merchandise", "グッズ", "Merchandise", "partner",
        "商品カタログ、在庫、受注。",
        (
            ("read", READ, "商品と在庫の閲覧", "Read goods and stock"),
            ("orders", WRITE, "受注の登録", "Register orders"),
        ),
        feature_names=("preorders",),
    ),
    Product(
        "media", "メディア素材", "Media assets", "restricted",
        "許諾済みの写真と映像。",
        (
            ("read", READ, "素材の閲覧", "Read assets"),
            ("download", READ, "素材の取得", "Download assets"),
            ("rights", ADMIN, "許諾範囲の管理", "Manage rights"),
        ),
        feature_names=("originals", "previews"),
    ),
)  # fmt: skip

PLANS: tuple[dict[str, object], ...] = (
    {
        "code": "partner", "name": "Partner", "level": "standard", "position": 1, "default_rpm": 100,
        "default_rph": 1_000, "default_burst": 20, "default_concurrency": 10, "max_rpm": 600,
        "max_rph": 20_000, "default_rotation_days": 90,
    },
    {
        "code": "premium", "name": "Premium", "level": "premium", "position": 2, "default_rpm": 300,
        "default_rph": 10_000, "default_burst": 60, "default_concurrency": 30, "max_rpm": 1_800,
        "max_rph": 100_000, "default_rotation_days": 90,
    },
    {
        "code": "internal", "name": "Internal", "level": "admin", "position": 3, "is_internal": True,
        "default_rpm": 100, "default_rph": 1_000, "default_burst": 20, "default_concurrency": 10,
        "max_rpm": 1_200, "max_rph": 50_000, "default_rotation_days": 60,
    },
)  # fmt: skip


@transaction.atomic
def load_catalogue(*, now: datetime) -> int:
    """Add the products, scopes and plans that are not there yet; returns how many products were added.

    What somebody changed since is left as it is.
    """
    n_added = 0
    for product in PRODUCTS:
        row, added = ApiProduct.objects.get_or_create(
            code=product.code,
            defaults={
                "name": product.name,
                "name_en": product.name_en,
                "description": product.description,
                "licence_level": product.level,
                "model_names": list(product.model_names),
                "feature_names": list(product.feature_names),
            },
        )
        for what, kind, name, name_en in product.scopes:
            Scope.objects.get_or_create(
                code=f"{product.code}:{what}",
                defaults={
                    "product": row,
                    "name": name,
                    "name_en": name_en,
                    "is_write": kind != READ,
                    "is_admin": kind == ADMIN,
                },
            )
        if added:
            n_added += 1
            record(
                Action.PRODUCT_ADDED,
                actor=SYSTEM("load_catalogue"),
                objects=[f"product:{product.code}"],
                now=now,
            )
    for plan in PLANS:
        Plan.objects.get_or_create(code=plan["code"], defaults=plan)
    return n_added
