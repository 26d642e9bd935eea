"""Absences and deputies. Included by `approvals.urls`, so that all names are of one namespace."""

from django.urls import path

from approvals.deputies import views as deputies

urlpatterns = [
    path("deputies/", deputies.delegation_list, name="delegation-list"),
    path("deputies/give/", deputies.delegation_give, name="delegation-give"),
    path("deputies/standing/", deputies.standing_deputy, name="standing-deputy"),
    path("deputies/roles/add/", deputies.role_deputy_add, name="role-deputy-add"),
    path(
        "deputies/roles/<str:role>/<number:public_id>/remove/",
        deputies.role_deputy_remove,
        name="role-deputy-remove",
    ),
    path("deputies/<number:number>/end/", deputies.delegation_end, name="delegation-end"),
]
