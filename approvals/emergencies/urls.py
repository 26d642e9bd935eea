"""Emergencies. Included by `approvals.urls`, so that all names are of one namespace."""

from django.urls import path

from approvals.emergencies import views as emergencies

urlpatterns = [
    path("requests/<number:number>/emergency/", emergencies.emergency_issue, name="emergency-issue"),
]
