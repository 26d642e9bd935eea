"""HTML of senders who do not close what they open: read to its end, in time that grows with its length."""

import pytest

from intake.html_text import text_of

LONG = 100_000
BROKEN = {
    "tags": "<a ",
    "quoted values": "<a href='",
    "an end within a value": "<a b='>'",
    "ends": "</a ",
    "comments": "<!--",
    "sections": "<![CDATA[",
    "foreign sections": "<![foo",
    "declarations": "<!x ",
    "instructions": "<?x ",
    "hidden elements": "<div hidden>",
    "hidden elements with an end": "<b hidden><i></b>",
    "nothing but beginnings": "<",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_never_ends_hides_nothing_before_it_and_costs_no_hours(kind: str) -> None:
    broken = BROKEN[kind]
    text = text_of(f"<p>キーの数: 3</p><p>名前: 田中</p>{broken * (LONG // len(broken))}")
    assert text.startswith("キーの数: 3\n")
    assert "名前: 田中" in text


def test_a_comment_is_left_out_however_long_it_is() -> None:
    long = "<b>x</b>" * 1_000
    assert text_of(f"<p>a</p><!-- {long} --><p>b</p><!--[if mso]>{long}<![endif]--><p>c</p>") == "a\n\nb\n\nc"


def test_a_tag_that_is_long_is_read_whole() -> None:
    style = "color:red;" * 500
    assert text_of(f'<p style="{style}">a</p><p style="{style}display:none">b</p><p>c</p>') == "a\n\nc"


def test_pieces_leave_no_trace_between_words() -> None:
    words = [f"word{number}" for number in range(500)]
    html = " ".join(f"<b>{word}</b>" for word in words)
    assert text_of(f"<p>{html}</p>").split() == words
