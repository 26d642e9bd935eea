"""Requests, their revisions, approval steps, decisions and the mail links that lead to them."""

from approvals.change_models import KeyChange
from approvals.deputy_models import DelegableRole, Delegation, RoleDeputy, StandingDeputy, StepReminder
from approvals.emergency_models import ConsentWithdrawal, DecisionReceipt, Doubt, Emergency
from approvals.models.decisions import Decision, Standing
from approvals.models.policies import PolicyVersion, StepRole
from approvals.models.requests import Request, Revision
from approvals.models.steps import ConsentCode, LinkOpening, Step, StepLink

__all__ = [
    "ConsentCode",
    "ConsentWithdrawal",
    "Decision",
    "DecisionReceipt",
    "DelegableRole",
    "Delegation",
    "Doubt",
    "Emergency",
    "KeyChange",
    "LinkOpening",
    "PolicyVersion",
    "Request",
    "Revision",
    "RoleDeputy",
    "Standing",
    "StandingDeputy",
    "Step",
    "StepLink",
    "StepReminder",
    "StepRole",
]
