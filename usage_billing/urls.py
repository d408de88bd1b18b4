"""Every address of the app, for a project to include: `path("", include("usage_billing.urls"))`."""

from django.urls import include, path

app_name = "usage_billing"

urlpatterns = [
    path("api/", include("usage_billing.api.urls")),
]
