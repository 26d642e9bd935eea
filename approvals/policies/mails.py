"""The mails about a policy that is to come in force, and what became of it (A2)."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from approvals.models import PolicyVersion
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, mail_to, page_url


def policy_proposed(message: Message) -> Mail | None:
    """To those who may put a policy in force: who proposes what, and why (A2). Not sent once it is over."""
    policy = PolicyVersion.objects.select_related("author").get(number=message.context["policy"])
    if policy.state != PolicyVersion.State.PROPOSED or policy.version != message.context["version"]:
        return None
    return mail_to(message, _policy_words(policy))


def policy_decided(message: Message) -> Mail | None:
    """To the author: the second person's answer (A2)."""
    policy = PolicyVersion.objects.select_related("author", "decider").get(number=message.context["policy"])
    is_in_force = policy.state == PolicyVersion.State.IN_FORCE
    return mail_to(message, _policy_words(policy) | {"is_in_force": is_in_force})


def _policy_words(policy: PolicyVersion) -> dict[str, Any]:
    facts: list[Fact] = [
        (_("Version"), str(policy)),
        (_("Written by"), policy.author.name if policy.author else ""),
        (_("Why the path is to change"), policy.reason),
    ]
    if policy.decider is not None:
        facts.append((_("Second person"), policy.decider.name))
    if policy.decision_reason:
        facts.append((_("Reason"), policy.decision_reason))
    return {
        "number": str(policy),
        "author": policy.author.name if policy.author else "",
        "decider": policy.decider.name if policy.decider else "",
        "facts": facts,
        "url": page_url("approvals:policy-detail", str(policy)),
    }
