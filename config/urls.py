"""Every address of the service."""

from django.contrib import admin
from django.urls import include, path, re_path

from usage_billing.monitoring.health import healthz
from usage_billing.monitoring.metrics import metrics

urlpatterns = [
    re_path(r"^healthz/?$", healthz, name="healthz"),
    re_path(r"^metrics/?$", metrics, name="metrics"),
    path("api/", include("ai_clients.assistants.api.urls")),
    path("api/", include("usage_billing.api.tokens")),
    path("", include("usage_billing.urls")),
    # Answers every other address under /api/, so it comes last.
    path("api/", include("config.api")),
    path("", include("usage_billing.pages.account_urls")),
    path("superadmin/", admin.site.urls),
]

handler404 = "config.error_pages.not_found"
handler500 = "config.error_pages.server_error"
