"""Partners, their contacts, contracts, workspaces and identity checks."""

from django.urls import path

from partners.views import belongings, partners

app_name = "partners"
urlpatterns = [
    path("", partners.partner_list, name="partner-list"),
    path("register/", partners.partner_register, name="partner-register"),
    path("contacts/<number:number>/change/", belongings.contact_change, name="contact-change"),
    path("contracts/<number:number>/change/", belongings.contract_change, name="contract-change"),
    path("workspaces/<number:number>/change/", belongings.workspace_change, name="workspace-change"),
    path("<number:number>/", partners.partner_detail, name="partner-detail"),
    path("<number:number>/change/", partners.partner_change, name="partner-change"),
    path("<number:number>/identity-checks/add/", partners.identity_check_add, name="identity-check-add"),
    path("<number:number>/contacts/add/", belongings.contact_add, name="contact-add"),
    path("<number:number>/contracts/add/", belongings.contract_add, name="contract-add"),
    path("<number:number>/workspaces/add/", belongings.workspace_add, name="workspace-add"),
]
