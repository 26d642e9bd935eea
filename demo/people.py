"""The demo's staff: every role, some people with two. All of them are invented."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from allauth.mfa.utils import encrypt
from django.contrib.auth.hashers import make_password

from accounts.models import User
from accounts.services import invite_staff
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor, staff_actor
from core.ids import refs

# Of the demo alone: whoever installs Kagiban for real has neither this app nor these people.
PASSWORD = "kagiban-demo-2026"  # noqa: S105 - see above
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36"


@dataclass(frozen=True, slots=True)
class Colleague:
    """One member of staff."""

    address: str
    name: str
    department: str
    roles: tuple[str, ...]
    language: str = "ja"


STAFF = (
    Colleague("taro.yamamoto@example.jp", "山本 太郎", "情報システム部", ("admin",)),
    Colleague("rin.nakamura@example.jp", "中村 凛", "営業企画部", ("requester",)),
    Colleague("misaki.sato@example.jp", "佐藤 美咲", "API事業部", ("pm",)),
    Colleague("ken.suzuki@example.jp", "鈴木 健", "API事業部", ("pm", "requester")),
    Colleague("sakura.ito@example.jp", "伊藤 さくら", "法務部", ("legal",)),
    Colleague("daniel.okafor@example.com", "Daniel Okafor", "Legal, overseas", ("legal",), "en"),
    Colleague("naoto.takahashi@example.jp", "高橋 直人", "API基盤部", ("tech",)),
    Colleague("takeshi.watanabe@example.jp", "渡辺 武", "セキュリティ室", ("security", "tech")),
    Colleague("sho.kato@example.jp", "加藤 翔", "経営", ("coo",)),
    Colleague("yuki.kobayashi@example.jp", "小林 由紀", "運用センター", ("ops",)),
    Colleague("aoi.matsumoto@example.jp", "松本 葵", "内部監査室", ("auditor",)),
    Colleague("emma.lindqvist@example.com", "Emma Lindqvist", "Overseas partnerships", ("requester",), "en"),
)


def hire(*, now: datetime) -> dict[str, User]:
    """Everybody by address, with a password and, where the role demands it, an authenticator app."""
    staff = {}
    password = make_password(PASSWORD)  # once: it costs what a password should cost
    for colleague in STAFF:
        user = invite_staff(
            actor=SYSTEM("load_demo"),
            email=colleague.address,
            name=colleague.name,
            department=colleague.department,
            roles=colleague.roles,
            language=colleague.language,
            now=now,
        )
        user.password = password
        user.save(update_fields=["password"])
        objects = refs(user)
        record(Action.PASSWORD_CHANGED, actor=actor_for(user), objects=objects, now=now)
        if user.needs_second_factor:
            _equip(user)
            record(
                Action.SECOND_FACTOR_ADDED,
                actor=actor_for(user),
                objects=objects,
                payload={"kind": "totp"},
                now=now,
            )
            record(Action.RECOVERY_CODES_MADE, actor=actor_for(user), objects=objects, now=now)
        staff[colleague.address] = user
    User.objects.filter(pk__in=[user.pk for user in staff.values()]).update(joined_at=now)
    return staff


def _equip(user: User) -> None:
    """An authenticator app and recovery codes, as allauth keeps them.

    In bulk, because bulk sends no signals: their receivers would record what is half a year old as today's.
    """
    totp = {"secret": encrypt(generate_totp_secret())}
    codes = {"seed": encrypt(secrets.token_hex(40)), "used_mask": 0}
    kinds = Authenticator.Type
    Authenticator.objects.bulk_create(
        [
            Authenticator(user=user, type=kinds.TOTP, data=totp),
            Authenticator(user=user, type=kinds.RECOVERY_CODES, data=codes),
        ]
    )


def actor_for(user: User) -> Actor:
    """The person at their desk: a private address that is always the same."""
    number = int(user.public_id.removeprefix("ST-"))
    return staff_actor(user, ip=f"10.12.3.{10 + number % 200}", user_agent=BROWSER)
