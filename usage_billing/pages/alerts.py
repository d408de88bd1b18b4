"""The page of alerts: what fires now and fired before, rules, channels, and how alerts were delivered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch
from django.utils import timezone
from django.utils.translation import gettext

from usage_billing.models import AlertChannel, AlertDelivery, AlertFiring, AlertRule
from usage_billing.pages import budget_rows
from usage_billing.pages.alert_words import firing_words, rule_words
from usage_billing.pages.budgets import org_of
from usage_billing.pages.names import Names, of_organizations
from usage_billing.pages.page import ALERTS, address
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scope_of_request

MOST = 50
"""Rows of each list."""
UNFOLDED = 10
"""Deliveries that are shown at once; the older ones are folded."""


@dataclass(frozen=True)
class FiringEntry:
    """link: the budget or the rule that raised it."""

    firing: AlertFiring
    title: str
    text: str
    org: str
    link: str


@dataclass(frozen=True)
class RuleEntry:
    rule: AlertRule
    org: str
    words: str
    channels: str
    link: str


@dataclass(frozen=True)
class ChannelEntry:
    channel: AlertChannel
    org: str
    link: str
    has_secret: bool


@dataclass(frozen=True)
class DeliveryEntry:
    """title: of the alert; empty for a test. to: the channel, or the address of an owner."""

    delivery: AlertDelivery
    title: str
    to: str


def answer(request: HttpRequest) -> HttpResponse:
    return render(request, "usage_billing/alerts.html", context(request))


def context(request: HttpRequest) -> dict[str, Any]:
    """The context of the template. Eleven queries, whatever there is."""
    scope = scope_of_request(request)
    base = address(ALERTS, for_superadmin=scope.everything)
    org_id = org_of(scope, request.GET.get("org", ""))
    known = Names(scope)
    fired = of_reader(AlertFiring.objects.select_related(*OF_FIRING), scope, org_id)
    firing = [*fired.filter(state=AlertFiring.State.FIRING)[:MOST]]
    resolved = [*fired.filter(state=AlertFiring.State.RESOLVED)[:MOST]]
    rules = [*of_reader(rules_read(), scope, org_id)[: MOST * 4]]
    channels = [*of_reader(AlertChannel.objects.all(), scope, org_id)[: MOST * 4]]
    sent = of_reader(AlertDelivery.objects.select_related("channel", *OF_DELIVERY), scope, org_id)
    deliveries = [*sent[:MOST]]
    known.look_up(orgs={each.org_id for each in (*firing, *resolved, *rules, *channels) if each.org_id is not None})
    query = "" if org_id is None else f"?org={org_id}"
    return {
        "title": gettext("Alerts"),
        "link": base,
        "may_set": scope.everything or bool(scope.owned_org_ids),
        "is_superadmin": scope.everything,
        "is_empty_scope": scope.is_empty,
        "several_orgs": (scope.everything or len(scope.owned_org_ids) > 1) and org_id is None,
        "org_id": org_id,
        "orgs_to_choose": of_organizations(scope, None if scope.everything else scope.owned_org_ids)
        if scope.everything or len(scope.owned_org_ids) > 1
        else {},
        "firing": firing_entries(scope, firing, known),
        "resolved": firing_entries(scope, resolved, known),
        "rules": [_rule(each, known, base) for each in rules],
        "channels": [_channel(each, known, base) for each in channels],
        "deliveries": [_delivery(each) for each in deliveries[:UNFOLDED]],
        "older_deliveries": [_delivery(each) for each in deliveries[UNFOLDED:]],
        "new_rule_link": f"{base}/rules/new{query}",
        "new_channel_link": f"{base}/channels/new{query}",
        "now": timezone.now(),
    }


OF_FIRING = ("rule", "budget", "org")
OF_DELIVERY = tuple(f"firing__{name}" for name in OF_FIRING)


def of_reader(rows: QuerySet[Any], scope: Scope, org_id: int | None = None) -> QuerySet[Any]:
    """The rows of the organisations that the person owns; to a superadmin all, those of the installation too."""
    if not scope.everything:
        rows = rows.filter(org_id__in=scope.owned_org_ids)
    return rows if org_id is None else rows.filter(org_id=org_id)


def rules_read() -> QuerySet[AlertRule]:
    return AlertRule.objects.select_related("budget").prefetch_related("channels")


def org_name(org_id: int | None, known: Names) -> str:
    return gettext("the installation") if org_id is None else known.org(org_id)


def firing_entries(scope: Scope, firings: Iterable[AlertFiring], known: Names) -> list[FiringEntry]:
    return [
        FiringEntry(each, *firing_words(each), org_name(each.org_id, known), _link(scope, each)) for each in firings
    ]


def _link(scope: Scope, firing: AlertFiring) -> str:
    if firing.rule is None and firing.budget is not None:
        return budget_rows.link_of(firing.budget, for_superadmin=scope.everything)
    base = address(ALERTS, for_superadmin=scope.everything)
    return f"{base}/rules/{firing.rule_id}" if firing.rule_id else base


def page_of(firing: AlertFiring | None) -> str:
    """The page that a message about an alert links to: superadmins are led on from it. Empty in a host without it."""
    try:
        if firing is not None and firing.rule_id is None and firing.budget is not None:
            return budget_rows.link_of(firing.budget, for_superadmin=False)
        return address(ALERTS, for_superadmin=False)
    except NoReverseMatch:
        return ""


def _rule(rule: AlertRule, known: Names, base: str) -> RuleEntry:
    channels = ", ".join(channel.name for channel in rule.channels.all())
    return RuleEntry(rule, org_name(rule.org_id, known), rule_words(rule), channels, f"{base}/rules/{rule.pk}")


def _channel(channel: AlertChannel, known: Names, base: str) -> ChannelEntry:
    return ChannelEntry(channel, org_name(channel.org_id, known), f"{base}/channels/{channel.pk}", has_secret(channel))


def has_secret(channel: AlertChannel) -> bool:
    """Whether there is a secret, without decrypting it."""
    return bool(channel.__dict__.get("secret"))


def _delivery(delivery: AlertDelivery) -> DeliveryEntry:
    title = "" if delivery.firing is None else firing_words(delivery.firing)[0]
    channel = "" if delivery.channel is None else delivery.channel.name
    to = ", ".join(filter(None, (channel, delivery.recipient)))
    return DeliveryEntry(delivery, title, to)
