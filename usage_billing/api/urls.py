"""Addresses of the JSON API, under `/api/`; a trailing slash is optional."""

from django.urls import include, path, re_path

from usage_billing.api.views import SummaryView, UnknownPathView

urlpatterns = [
    path("", include("usage_billing.api.tokens")),
    re_path(r"^billing/usage/tokens/summary/?$", SummaryView.as_view(), name="usage-summary"),
    re_path(r"", UnknownPathView.as_view()),
]
