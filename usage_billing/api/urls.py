"""Addresses of the reports, budgets, alerts and tokens as JSON, `usage_billing:api-…`; a trailing slash is optional.

Nothing here catches other addresses. Tokens, the schema and its page belong to the service: `config.urls`.
"""

from django.urls import URLPattern, re_path

from usage_billing.api import alerts, budget_requests, budgets, provider_keys, service_tokens, views
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


def _address(path: str, view: type[ApiView], name: str) -> URLPattern:
    return re_path(rf"^billing/{path}/?$", view.as_view(), name=f"api-{name}")


_ID = "(?P<id>[0-9]{1,20})"

urlpatterns = [
    *(_report(name, view) for name, view in REPORTS.items()),
    re_path(r"^billing/usage/tokens/detailed/(?P<id>[0-9]{1,20})/?$", views.CallView.as_view(), name="api-call"),
    _address("budgets", budgets.BudgetListView, "budgets"),
    _address(f"budgets/{_ID}", budgets.BudgetView, "budget"),
    _address(f"budgets/{_ID}/history", budgets.BudgetHistoryView, "budget-history"),
    _address("budget-requests", budget_requests.BudgetRequestListView, "budget-requests"),
    _address(f"budget-requests/{_ID}", budget_requests.BudgetRequestView, "budget-request"),
    _address("alerts/channels", alerts.ChannelListView, "alert-channels"),
    _address(f"alerts/channels/{_ID}", alerts.ChannelView, "alert-channel"),
    _address(f"alerts/channels/{_ID}/test", alerts.ChannelTestView, "alert-channel-test"),
    _address("alerts/rules", alerts.RuleListView, "alert-rules"),
    _address(f"alerts/rules/{_ID}", alerts.RuleView, "alert-rule"),
    _address("alerts/firings", alerts.FiringListView, "alert-firings"),
    _address(f"alerts/firings/{_ID}", alerts.FiringView, "alert-firing"),
    _address("service-tokens", service_tokens.ServiceTokenListView, "service-tokens"),
    _address(f"service-tokens/{_ID}", service_tokens.ServiceTokenView, "service-token"),
    _address(f"service-tokens/{_ID}/rotate", service_tokens.RotateServiceTokenView, "service-token-rotate"),
    _address("provider-keys", provider_keys.ProviderKeyListView, "provider-keys"),
    _address("provider-keys/(?P<provider>[a-z]{1,20})", provider_keys.ProviderKeyView, "provider-key"),
]
