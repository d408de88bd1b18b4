"""Every address of the service."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/", include("usage_billing.api.urls")),
    path("", include("usage_billing.page_urls")),
    path("superadmin/", admin.site.urls),
]
