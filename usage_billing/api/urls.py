"""Addresses of the reports as JSON, `usage_billing:api-…`; a trailing slash is optional.

Nothing here catches other addresses. Tokens, the schema and its page belong to the service: `config.urls`.
"""

from django.urls import URLPattern, re_path

from usage_billing.api import views
from usage_billing.api.base import ApiView
from usage_billing.api.export import ExportView

REPORTS: dict[str, type[ApiView]] = {
    "summary": views.SummaryView,
    "history": views.HistoryView,
    "by-agent": views.AgentsView,
    "by-model": views.ModelsView,
    "by-provider": views.ProvidersView,
    "by-request-type": views.RequestTypesView,
    "by-status": views.StatusesView,
    "by-user": views.UsersView,
    "by-org": views.OrgsView,
    "by-workflow": views.WorkflowsView,
    "by-content": views.ContentsView,
    "by-tag": views.TagView,
    "detailed": views.CallsView,
    "export": ExportView,
}


def _report(name: str, view: type[ApiView]) -> URLPattern:
    return re_path(rf"^billing/usage/tokens/{name}/?$", view.as_view(), name=f"api-{name}")


urlpatterns = [
    *(_report(name, view) for name, view in REPORTS.items()),
    re_path(r"^billing/usage/tokens/detailed/(?P<id>[0-9]{1,20})/?$", views.CallView.as_view(), name="api-call"),
]
