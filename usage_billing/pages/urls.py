"""Addresses of the app's own pages."""

from django.urls import path

from usage_billing.pages import (
    alert_pages,
    alerts,
    budget_pages,
    budgets,
    call,
    saved_view_pages,
    service_token_pages,
    service_tokens,
    views,
)
from usage_billing.pages.entrance import View, entered, entered_outside_scope
from usage_billing.pages.page import OVERVIEW, PAGES

urlpatterns = []
for page in PAGES:
    below, suffix = ("", "") if page == OVERVIEW else (f"/{page}", f"-{page}")
    superadmin, own = views.superadmin_page(page), views.own_page(page)
    urlpatterns += [
        path(f"superadmin/ai-costs{below}", superadmin, name=f"ai-costs{suffix}"),
        path(f"superadmin/ai-costs{below}/", superadmin),
        # The overview of owners and members has had a slash at its end from the first version.
        path(f"usage{below}", own, name=None if page == OVERVIEW else f"usage{suffix}"),
        path(f"usage{below}/", own, name="usage" if page == OVERVIEW else None),
    ]
urlpatterns += [
    path("superadmin/ai-costs/calls/<int:id>", call.superadmin_call, name="ai-costs-call"),
    path("superadmin/ai-costs/calls/<int:id>/", call.superadmin_call),
    path("usage/calls/<int:id>", call.own_call, name="call"),
    path("usage/calls/<int:id>/", call.own_call),
]
SECTIONS = (("superadmin/ai-costs", "ai-costs", True), ("usage", "usage", False))
for base, name, for_superadmin in SECTIONS:
    listed = saved_view_pages.list_view(for_superadmin=for_superadmin)
    one = saved_view_pages.one_view(for_superadmin=for_superadmin)
    urlpatterns += [
        path(f"{base}/views", listed, name=f"{name}-views"),
        path(f"{base}/views/", listed),
        path(f"{base}/views/<int:id>", one, name=f"{name}-view"),
        path(f"{base}/views/<int:id>/", one),
    ]

FORMS: tuple[tuple[str, str, View], ...] = (
    ("budgets", "budgets", budgets.answer),
    ("budgets/new", "budget-new", budget_pages.new),
    ("budgets/<int:id>", "budget", budget_pages.one),
    ("budgets/<int:id>/edit", "budget-edit", budget_pages.edit),
    ("budgets/<int:id>/delete", "budget-delete", budget_pages.delete),
    ("budgets/<int:id>/ask", "budget-ask", budget_pages.ask),
    ("alerts", "alerts", alerts.answer),
    ("alerts/rules/new", "alert-rule-new", alert_pages.new_rule),
    ("alerts/rules/<int:id>", "alert-rule", alert_pages.rule),
    ("alerts/rules/<int:id>/delete", "alert-rule-delete", alert_pages.delete_rule),
    ("alerts/channels/new", "alert-channel-new", alert_pages.new_channel),
    ("alerts/channels/<int:id>", "alert-channel", alert_pages.channel),
    ("alerts/channels/<int:id>/delete", "alert-channel-delete", alert_pages.delete_channel),
    ("budgets/requests/<int:id>", "budget-request", budget_pages.answer_request),
    ("tokens", "tokens", service_tokens.answer),
    ("tokens/new", "token-new", service_token_pages.new),
    ("tokens/<int:id>/rotate", "token-rotate", service_token_pages.rotate),
    ("tokens/<int:id>/revoke", "token-revoke", service_token_pages.revoke),
    ("tokens/keys/new", "provider-key-new", service_token_pages.new_key),
    ("tokens/keys/<int:id>/remove", "provider-key-remove", service_token_pages.remove_key),
)
"""Address below the section, name and view of each page that takes forms."""
for below, suffix, view in FORMS:
    for base, name, for_superadmin in SECTIONS:
        answer = entered(view, for_superadmin=for_superadmin)
        urlpatterns += [path(f"{base}/{below}", answer, name=f"{name}-{suffix}"), path(f"{base}/{below}/", answer)]
for base, name, for_superadmin in SECTIONS:
    answer = entered_outside_scope(alert_pages.test_channel, for_superadmin=for_superadmin)
    below = "alerts/channels/<int:id>/test"
    urlpatterns += [
        path(f"{base}/{below}", answer, name=f"{name}-alert-channel-test"),
        path(f"{base}/{below}/", answer),
    ]
