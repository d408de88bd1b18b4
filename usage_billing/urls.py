"""Addresses of the app, for `include("usage_billing.urls")`: pages, API, and where other programs report calls."""

from django.urls import include, path

app_name = "usage_billing"

urlpatterns = [
    path("", include("usage_billing.pages.urls")),
    path("api/", include("usage_billing.api.urls")),
    path("", include("usage_billing.ingest.urls")),
]
