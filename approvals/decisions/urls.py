"""Where steps are decided: the public addresses of mail links, and the pages inside the portal.

Included by `approvals.urls`, so that all names are of one namespace.
"""

from django.urls import path

from approvals.decisions.views import consent, decide

urlpatterns = [
    path("decide/<str:token>/", decide.link_decide, name="link-decide"),
    path("decide/<str:token>/renew/", decide.link_renew, name="link-renew"),
    path("requests/<number:number>/decide/", decide.step_decide, name="step-decide"),
    path("requests/<number:number>/ask-again/", decide.step_ask_again, name="step-ask-again"),
    path("decisions/<uuid:uid>/", decide.step_decided, name="step-decided"),
    path("consent/<str:token>/", consent.start, name="consent-start"),
    path("consent/<str:token>/code/", consent.code, name="consent-code"),
    path("consent/<str:token>/terms/", consent.terms, name="consent-terms"),
    path("consent/<str:token>/answer/", consent.answer, name="consent-answer"),
    path("consent/<str:token>/language/", consent.language, name="consent-language"),
    path("consent/<str:token>/renew/", consent.renew, name="consent-renew"),
    path("receipt/<str:token>/", consent.receipt, name="receipt"),
]
