"""Answers that are disputed or taken back. Included by `approvals.urls`: one namespace."""

from django.urls import path

from approvals.disputes.views import doubts, withdrawal

urlpatterns = [
    path("not-me/<str:token>/", doubts.not_me, name="not-me"),
    path("requests/<number:number>/doubt/", doubts.doubt_look, name="doubt-look"),
    path("withdraw/<str:token>/", withdrawal.start, name="withdraw-start"),
    path("withdraw/<str:token>/code/", withdrawal.code, name="withdraw-code"),
    path("withdraw/<str:token>/sign/", withdrawal.sign, name="withdraw-sign"),
    path("withdraw/<str:token>/answer/", withdrawal.answer, name="withdraw-answer"),
]
