"""Mail requests."""

from django.urls import path

from intake import views

app_name = "intake"
urlpatterns = [
    path("", views.mail_list, name="mail-list"),
    path("<number:number>/", views.mail_detail, name="mail-detail"),
    path("<number:number>/original/", views.mail_original, name="mail-original"),
    path("<number:number>/take/", views.mail_take, name="mail-take"),
    path("<number:number>/set-aside/", views.mail_set_aside, name="mail-set-aside"),
    path("<number:number>/bring-back/", views.mail_bring_back, name="mail-bring-back"),
]
