"""Two mails that wait in the inbox: one that reads itself, and one that nobody could read."""

from base64 import encodebytes
from datetime import datetime, timedelta
from email.header import Header

from demo.calendar import TOKYO

ADDRESS = "api-key-requests@starlist.example.jp"


def readable(now: datetime) -> bytes:
    """A contact asks for a key, as Japanese offices write: ISO-2022-JP with labels."""
    starts, ends = now.astimezone(TOKYO) + timedelta(days=12), now.astimezone(TOKYO) + timedelta(days=190)
    text = f"""スターリスト APIご担当者様

お世話になっております。三日月トラベルの三浦です。
春の公演ツアーの予約画面で使うAPIキーの発行をお願いいたします。

■申請者：三日月トラベル株式会社　商品企画部　三浦 大輔
■用途：公演ツアーの予約画面に、出演者のプロフィールと出演予定を表示するため
■期間：{starts:%Y年%m月%d日}～{ends:%Y年%m月%d日}
■担当者：三浦 大輔（miura@mikazuki-travel.example.jp）
■対象API：スタープロフィール
■月額：32万円
■環境：本番
■接続元IP：198.51.100.16/28

ご確認のほど、よろしくお願いいたします。
--
三日月トラベル株式会社 商品企画部 三浦 大輔
"""
    subject = "【ご依頼】APIキー発行のお願い（春の公演ツアー）"
    head = (
        f"From: {Header('三浦 大輔', 'iso-2022-jp').encode()} <miura@mikazuki-travel.example.jp>\n"
        f"To: {ADDRESS}\nSubject: {Header(subject, 'iso-2022-jp').encode()}\n"
        "Message-ID: <spring-tour@mikazuki-travel.example.jp>\n"
        "Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: 7bit\n\n"
    )
    return head.encode() + text.replace("～", "〜").encode("iso2022_jp")


def unreadable() -> bytes:
    """Somebody unknown sends a form as a picture, and no word beside it."""
    head = (
        f"From: {Header('総務', 'utf-8').encode()} <info@aozora-studio.example.net>\n"
        f"To: {ADDRESS}\nSubject: {Header('申請書の件', 'utf-8').encode()}\n"
        "Message-ID: <scan-0412@aozora-studio.example.net>\n"
        "Content-Type: multipart/mixed; boundary=part\n\n"
    )
    name = Header("申請書スキャン.jpg", "utf-8").encode()
    part = (
        f'--part\nContent-Type: image/jpeg; name="{name}"\nContent-Transfer-Encoding: base64\n'
        f'Content-Disposition: attachment; filename="{name}"\n\n'
    )
    return head.encode() + part.encode() + encodebytes(b"\xff\xd8\xff\xe0" + bytes(48_000)) + b"--part--\n"
