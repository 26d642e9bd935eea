"""The signed-in person's own pages, and the team."""

from django.urls import path

from accounts.views import kept, preferences, second_factor, team

app_name = "accounts"
urlpatterns = [
    path("profile/", preferences.profile, name="profile"),
    path("language/", preferences.set_language, name="language-set"),
    path("theme/", preferences.set_theme, name="theme-set"),
    path("kept/", kept.form_kept, name="form-kept"),
    path("second-factor/", second_factor.set_up, name="second-factor"),
    path("staff/", team.staff_list, name="staff-list"),
    path("staff/invite/", team.staff_invite, name="staff-invite"),
    path("staff/<number:public_id>/", team.staff_detail, name="staff-detail"),
    path("staff/<number:public_id>/roles/", team.staff_roles, name="staff-roles"),
    path("staff/<number:public_id>/invitation/", team.staff_renew_invitation, name="staff-renew-invitation"),
    path("staff/<number:public_id>/deactivate/", team.staff_deactivate, name="staff-deactivate"),
    path("permissions/", team.permission_matrix, name="permission-matrix"),
]
