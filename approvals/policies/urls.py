"""URLs of the approval policy. Included by approvals.urls."""

from django.urls import path

from approvals.policies import views as policies

urlpatterns = [
    path("policies/", policies.policy_list, name="policy-list"),
    path("policies/<str:number>/", policies.policy_detail, name="policy-detail"),
    path("policies/<str:number>/dry-run/", policies.policy_dry_run, name="policy-dry-run"),
    path("policies/<str:number>/copy/", policies.policy_copy, name="policy-copy"),
    path("policies/<str:number>/edit/", policies.policy_edit, name="policy-edit"),
    path("policies/<str:number>/propose/", policies.policy_propose, name="policy-propose"),
    path("policies/<str:number>/take-back/", policies.policy_take_back, name="policy-take-back"),
    path("policies/<str:number>/withdraw/", policies.policy_withdraw, name="policy-withdraw"),
    path("policies/<str:number>/decide/", policies.policy_decide, name="policy-decide"),
]
