from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from audit.models import Event
from notifications.models import Message

pytestmark = pytest.mark.django_db


def test_the_first_administrator_is_invited_by_mail() -> None:
    out = StringIO()
    call_command("invite_admin", "first@example.jp", "山本 太郎", stdout=out)
    user = User.objects.get()
    assert user.public_id in out.getvalue()
    assert user.roles == ["admin"]
    assert not user.has_usable_password()
    assert Message.objects.get().kind == "staff_invited"
    assert Event.objects.get(action="staff.invited").actor_ref == "manage.invite_admin"


@pytest.mark.parametrize("address", ["first", "first@example.jp\nBcc: all@example.jp", "TAKEN@example.jp"])
def test_a_bad_or_taken_address_is_refused_in_one_line(address: str) -> None:
    call_command("invite_admin", "taken@example.jp", "A", stdout=StringIO())
    with pytest.raises(CommandError):
        call_command("invite_admin", address, "B", stdout=StringIO())
    assert User.objects.count() == 1
