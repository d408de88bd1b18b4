"""Addresses of the JSON API, under `/api/`; a trailing slash is optional."""

from django.urls import URLPattern, include, path, re_path
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.views import APIView

from usage_billing.api import views
from usage_billing.api.export import ExportView

REPORTS: dict[str, type[APIView]] = {
    "summary": views.SummaryView,
    "history": views.HistoryView,
    "by-agent": views.AgentsView,
    "by-model": views.ModelsView,
    "by-request-type": views.RequestTypesView,
    "by-user": views.UsersView,
    "by-org": views.OrgsView,
    "detailed": views.CallsView,
    "export": ExportView,
}


def _report(name: str, view: type[APIView]) -> URLPattern:
    return re_path(rf"^billing/usage/tokens/{name}/?$", view.as_view(), name=f"usage-{name}")


urlpatterns = [
    path("", include("usage_billing.api.tokens")),
    *(_report(name, view) for name, view in REPORTS.items()),
    re_path(r"^billing/usage/tokens/detailed/(?P<id>[0-9]{1,20})/?$", views.CallView.as_view(), name="usage-call"),
    re_path(r"^schema/?$", views.SchemaView.as_view(), name="schema"),
    re_path(r"^docs/?$", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    re_path(r"", views.UnknownPathView.as_view()),
]
