"""Addresses of the JSON API, under `/api/`; a trailing slash is optional."""

from django.urls import re_path
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from usage_billing.api.views import SummaryView, UnknownPathView

urlpatterns = [
    re_path(r"^token/?$", TokenObtainPairView.as_view(), name="token"),
    re_path(r"^token/refresh/?$", TokenRefreshView.as_view(), name="token-refresh"),
    re_path(r"^billing/usage/tokens/summary/?$", SummaryView.as_view(), name="usage-summary"),
    re_path(r"", UnknownPathView.as_view()),
]
