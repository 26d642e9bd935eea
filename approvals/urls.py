"""URLs of requests, approvals, and of the public pages that mail links lead to. Included at the root."""

from django.urls import URLPattern

app_name = "approvals"

urlpatterns: list[URLPattern] = []
