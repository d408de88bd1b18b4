"""Every address of the service."""

from django.contrib import admin
from django.urls import include, path, re_path

from usage_billing.health import healthz
from usage_billing.metrics import metrics

urlpatterns = [
    path("api/", include("ai_clients.api.people_urls")),
    re_path(r"^healthz/?$", healthz, name="healthz"),
    re_path(r"^metrics/?$", metrics, name="metrics"),
    path("api/", include("ai_clients.api.urls")),
    path("api/", include("usage_billing.api.urls")),
    path("", include("usage_billing.page_urls")),
    path("superadmin/", admin.site.urls),
]

handler404 = "config.error_pages.not_found"
handler500 = "config.error_pages.server_error"
