"""Addresses of the pages."""

from django.contrib.auth.views import LogoutView
from django.urls import include, path

from usage_billing import pages

urlpatterns = [
    path("", pages.home, name="home"),
    path("superadmin/ai-costs", pages.superadmin_costs, name="ai-costs"),
    path("superadmin/ai-costs/", pages.superadmin_costs),
    path("usage/", pages.own_costs, name="usage"),
    path("usage", pages.own_costs),
    path("usage/calls/<int:id>", pages.own_record, name="usage-record"),
    path("usage/calls/<int:id>/", pages.own_record),
    path("login/", pages.LogIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("i18n/", include("django.conf.urls.i18n")),
]
