"""The tech step shows what its identity check is to be checked against (A1)."""

import pytest
from django.urls import reverse

from audit.models import Event
from tests.cast import Cast, decide, sign_in

pytestmark = pytest.mark.django_db


def tech_page(cast: Cast) -> str:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal)
    page = sign_in(cast.tech).get(reverse("approvals:step-decide", args=[request.public_id]))
    decide(request, cast.tech)
    return page.content.decode()


def test_the_facts_stand_beside_the_checklist(cast: Cast) -> None:
    cast.company.corporate_number = "7000012050002"
    cast.company.website = "https://minato.example.jp"
    cast.company.save(update_fields=["corporate_number", "website"])
    text = tech_page(cast)
    assert "7000012050002" in text
    assert "https://minato.example.jp" in text
    assert cast.company.contacts.get(purposes__contains=["technical"]).email in text
    assert "nothing to compare with the public register" not in text
    assert "note" not in Event.objects.filter(action="step.approved").latest("id").payload


def test_a_missing_corporate_number_is_warned_of_and_stands_in_the_event(cast: Cast) -> None:
    text = tech_page(cast)
    assert "None is registered" in text
    assert "nothing to compare with the public register" in text
    event = Event.objects.filter(action="step.approved").latest("id")
    assert event.payload["note"] == "no corporate number was registered"
