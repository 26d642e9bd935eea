"""Mails as customers' mail programs write them, for the tests."""

import base64
import quopri
from email.header import Header

PURPOSE = "配送状況照会アプリでの位置情報の表示"
BODY = f"""お世話になっております。みなと物流の青木です。
APIキーの発行をお願いいたします。

■申請者：みなと物流株式会社　青木 澪
■用途：{PURPOSE}
■期間：２０２７年１月１０日 ～ 2027/06/30
■担当者：青木 澪 <mio@minato.example.jp>
■対象ＡＰＩ：Catalog、Orders
■月額：３０万円
■環境：本番
■接続元IP：203.0.113.0/24

よろしくお願いいたします。
--
みなと物流株式会社
用途：署名の中
"""
ENGLISH = """Hello,

please issue a key.

Purpose: Shows our customers
where their parcels are
Period: 2027-01-10 - 2027-06-30
Contact: Mio Aoki
API products: catalog
Environment: Test

Best regards
"""


def mail(
    body: bytes | str = BODY,
    *,
    charset: str = "utf-8",
    label: str | None = None,
    encoding: str = "base64",
    kind: str = "text/plain",
    subject: str = "APIキー発行依頼（配送状況照会）",
    sender: str = "青木 澪 <mio@minato.example.jp>",
    message_id: str | None = "<1@minato.example.jp>",
    extra: str = "",
) -> bytes:
    """One mail. `label` is the charset that it says it has."""
    if isinstance(body, str):
        # Unix and Windows have two characters for one of JIS.
        wave = {"cp932": "～", "utf-8": "～"}.get(charset, "〜")
        body = body.replace("～", wave)
    data = body.encode(charset) if isinstance(body, str) else body
    packed = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}
    name, _, address = sender.rpartition(" <")
    told = f"{Header(name, charset).encode()} <{address}" if name else sender
    lines = [f"From: {told}"] if sender else []
    lines += [
        "To: api-key-requests@starlist.example.jp",
        f"Subject: {Header(subject, charset).encode()}" if not subject.isascii() else f"Subject: {subject}",
        "Date: Sat, 21 Nov 2026 10:00:00 +0900",
        "MIME-Version: 1.0",
        f"Content-Type: {kind}; charset={charset if label is None else label}",
        f"Content-Transfer-Encoding: {encoding}",
    ]
    if message_id:
        lines.append(f"Message-ID: {message_id}")
    head = "\n".join([*lines, *extra.splitlines()]).encode()
    return head + b"\n\n" + (packed[encoding](data) if encoding in packed else data)


def multipart(*parts: tuple[str, bytes], kind: str = "mixed", **options: str) -> bytes:
    """A mail of several parts: `(header lines, body)` each."""
    pieces = b"".join(b"--b0\n" + head.encode() + b"\n\n" + body + b"\n" for head, body in parts)
    whole = mail(b"", encoding="7bit", **options)
    head = whole.partition(b"\n\n")[0].decode().splitlines()
    kept = [line for line in head if not line.startswith(("Content-",))]
    return (
        "\n".join([*kept, f"Content-Type: multipart/{kind}; boundary=b0"]).encode()
        + b"\n\n"
        + pieces
        + b"--b0--\n"
    )


def delivery_report(
    *,
    message_id: str,
    status: str = "5.1.1",
    action: str = "failed",
    to: str = "kagiban@example.jp",
    returned: bytes = b"",
    identity: str = "<dsn-1@mx.example.net>",
) -> bytes:
    """A bounce as Postfix writes it (RFC 3464)."""
    own = returned or f"Message-ID: {message_id}\nSubject: consent\n".encode()
    return (
        f"Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.net (Mail Delivery System)\nTo: {to}\n"
        f"Subject: Undelivered Mail\nAuto-Submitted: auto-replied\nMessage-ID: {identity}\n"
        "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=b1\n\n"
        "--b1\nContent-Type: text/plain\n\nI'm sorry to have to inform you that your message could not be\n"
        f"delivered.\n\n<star@example.net>: host said: {status}\n\n"
        "--b1\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\n"
        f"Final-Recipient: rfc822; star@example.net\nAction: {action}\nStatus: {status}\n"
        "Diagnostic-Code: smtp; 550 no such user\n\n"
        "--b1\nContent-Type: message/rfc822\n\n"
    ).encode() + own + b"\n--b1--\n"  # fmt: skip
