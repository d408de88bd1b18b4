"""Every address of the service."""

from django.contrib import admin
from django.urls import include, path, re_path

from usage_billing.monitoring.health import healthz
from usage_billing.monitoring.metrics import metrics
from usage_billing.pages import shell

urlpatterns = [
    re_path(r"^healthz/?$", healthz, name="healthz"),
    re_path(r"^metrics/?$", metrics, name="metrics"),
    path("api/", include("ai_clients.assistants.api.urls")),
    path("api/", include("usage_billing.api.tokens")),
    path("", include("usage_billing.urls")),
    path("proxy/", include("ai_clients.proxy.urls")),
    # Answers every other address under /api/, so it comes last.
    path("api/", include("config.api")),
    path("", include("usage_billing.pages.account_urls")),
    # One log-in for pages and admin.
    path("superadmin/login/", shell.admin_log_in),
    path("superadmin/", admin.site.urls),
]

handler400 = "config.error_pages.bad_request"
handler403 = "config.error_pages.forbidden"
handler404 = "config.error_pages.not_found"
handler500 = "config.error_pages.server_error"
