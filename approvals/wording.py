"""The words for codes of policy: why a step is asked for, why a person may not decide it."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WHY: dict[str, str | Promise] = {
    "always": _("Every request is looked at by a PM first."),
    "partner_is_rights_holder": _("The partner is a rights-holder: the star or the office must consent."),
    "contract_reviewed": _("Legal checks the contract and the data licence."),
    "identity_checked": _("Tech checks the settings, security's identity check included."),
    "amount_over_threshold": _("The contract is worth more than 500,000 JPY a month."),
}

WHY_NOT: dict[str, str | Promise] = {
    "not_your_role": _("This step is decided by another role."),
    "own_request": _("Nobody decides on their own request."),
    "decided_another_step": _("You decided another step of this request; a second person is needed here."),
}

ROLE_QUESTION: dict[str, str | Promise] = {
    "pm": _("Are the partner, the purpose and the plan right?"),
    "rights_holder": _("Do you consent to this use?"),
    "legal": _("Do the contract and the data licence allow this?"),
    "tech": _("Are the settings as small as they can be, and is the partner who they say they are?"),
    "coo": _("Is this contract to go ahead?"),
}
