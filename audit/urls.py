"""The audit log."""

from django.urls import path

from audit import views

app_name = "audit"
urlpatterns = [
    path("", views.event_list, name="event-list"),
    path("export/", views.event_export, name="event-export"),
    path("<uuid:uid>/", views.event_detail, name="event-detail"),
    path("<uuid:uid>/bytes/", views.event_bytes, name="event-bytes"),
]
