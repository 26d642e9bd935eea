"""Requests, their revisions, approval steps, decisions and the mail links that lead to them."""

from approvals.models.changes import KeyChange
from approvals.models.decisions import Decision, Standing
from approvals.models.deputies import DelegableRole, Delegation, RoleDeputy, StandingDeputy, StepReminder
from approvals.models.emergencies import ConsentWithdrawal, DecisionReceipt, Doubt, Emergency
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
