"""What was typed outlives the session: a form whose POST met a sign-in waits until its person is back.

The form waits in the session, sealed like all of it (`core.sessions`), and is sent again only by its person's
own click: a POST is never replayed for them. A session that ended names nobody any more, so a signed cookie
says whose browser this is: nobody else is shown what was typed here, and strangers store nothing.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from core.htmx import page_of, wants_piece

KEPT = "accounts.kept_form"
COOKIE = "person"
COOKIE_AGE = timedelta(days=7)
LONGEST = 250_000  # characters: some five times the longest form


@dataclass(frozen=True, slots=True)
class KeptForm:
    """A form that was not sent: where it goes, the page it stood on, and its fields as they were posted.

    `is_unfinished`: a live panel posted it while somebody typed; nobody had pressed a button yet.
    """

    action: str
    is_unfinished: bool
    page: str
    fields: list[tuple[str, str]]


def remember_person(request: HttpRequest, response: HttpResponse, public_id: str) -> None:
    """Let this browser say whose it is, for a week after its session has ended."""
    if _person_of(request) == public_id:
        return
    response.set_signed_cookie(
        COOKIE,
        public_id,
        salt=COOKIE,
        max_age=COOKIE_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def keep_form(request: HttpRequest) -> bool:
    """Let what a POST brought wait in the session; False if there is nobody to wait for, or too much of it.

    A piece of a page posts the form around it: that form's page takes it.
    """
    if request.method != "POST":
        return False
    page = page_of(request)
    is_unfinished = wants_piece(request)
    action = page if is_unfinished else request.get_full_path()
    person = request.user.public_id if request.user.is_authenticated else _person_of(request)
    fields = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if name != "csrfmiddlewaretoken"
    ]
    if not action or not person or sum(len(name) + len(value) for name, value in fields) > LONGEST:
        return False
    request.session[KEPT] = {
        "person": person,
        "action": action,
        "is_unfinished": is_unfinished,
        "page": page or "/",
        "fields": fields,
    }
    return True


def kept_form(request: HttpRequest) -> KeptForm | None:
    """What waits in this session for the person who is signed in."""
    kept = request.session.get(KEPT)
    if not kept or not request.user.is_authenticated or kept["person"] != request.user.public_id:
        return None
    fields = [(name, value) for name, value in kept["fields"]]
    return KeptForm(kept["action"], kept["is_unfinished"], kept["page"], fields)


def _person_of(request: HttpRequest) -> str:
    """Who signed in last in this browser; empty if nobody did lately."""
    return str(request.get_signed_cookie(COOKIE, default="", salt=COOKIE, max_age=COOKIE_AGE))
