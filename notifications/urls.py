"""The outbox as people see it."""

from django.urls import path

from notifications import views

app_name = "notifications"
urlpatterns = [
    path("", views.message_list, name="message-list"),
    path("<uuid:uid>/retry/", views.message_retry, name="message-retry"),
    path("bounces/", views.bounce_hook, name="bounce-hook"),
]
