"""The words for codes of policy: why a step is asked for, why a person may not decide it."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WHY: dict[str, str | Promise] = {
    "always": _("Every request is looked at by a PM first."),
    "partner_is_rights_holder": _("The partner is a rights-holder: the star or the office must consent."),
    "contract_reviewed": _("Legal checks the contract and the data licence."),
    "identity_checked": _("Tech checks the settings, security's identity check included."),
    "change_tightens": _("The change only takes away: one look by a PM or security is enough."),
    "amount_over_threshold": _("The contract is worth more than 500,000 JPY a month."),
}

FROZEN = _("The request is frozen: security is looking into an answer that was reported as not genuine.")

WHY_NOT: dict[str, str | Promise] = {
    "not_your_role": _("This step is decided by another role."),
    "not_named": _("The approval policy names who decides this step; you are not among them."),
    "own_request": _("Nobody decides on their own request."),
    "giver_may_not": _(
        "You stand in for somebody who may not decide here either: it is their own request, or they decided "
        "another step of it."
    ),
    "decided_another_step": _("You decided another step of this request; a second person is needed here."),
}

# Why an answer would not count any more (approvals.requests.rules.Why), behind the name of whoever gave it.
FALLS: dict[str, str | Promise] = {
    "void": _("counts no more: it was withdrawn, or found not to be genuine"),
    "dropped": _("counts no more: this approval is not needed any more"),
    "changes": _("counts no more: somebody else on this step asked for changes"),
    "moved": _("counts no more, because this is changed: %(fields)s"),
    "otherwise": _("counts no more: the step is asked of somebody else, or asks for more than before"),
    "enough": _("counts no more: fewer are needed here, and enough others stand"),
    "look": _("is asked again, because somebody looks at every revision"),
}

ROLE_QUESTION: dict[str, str | Promise] = {
    "pm": _("Are the partner, the purpose and the plan right?"),
    "rights_holder": _("Do you consent to this use?"),
    "legal": _("Do the contract and the data licence allow this?"),
    "tech": _("Are the settings as small as they can be, and is the partner who they say they are?"),
    "coo": _("Is this contract to go ahead?"),
    "pm_or_security": _("Can the partner work with less?"),
}

LICENCE_POINTS: dict[str, str | Promise] = {
    "policy_read": _("The data-licence policy was read by those who will use the data."),
    "level_fits": _("The data asked for is covered by the contract's licence level."),
    "no_personal_data": _("No personal data is taken beyond what the contract names."),
    "no_resale": _("The data is not passed on or sold to others."),
}
