"""Addresses of the app: its pages and its API, for `include("usage_billing.urls")`."""

from django.urls import include, path

app_name = "usage_billing"

urlpatterns = [
    path("", include("usage_billing.pages.urls")),
    path("api/", include("usage_billing.api.urls")),
]
