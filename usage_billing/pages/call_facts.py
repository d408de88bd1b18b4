"""The attribution of a call, each fact with the address of the calls that share it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

from django.utils.text import capfirst
from django.utils.translation import gettext

from usage_billing.api.parameters import COLUMNS, DEFAULT_DAYS
from usage_billing.costing.costs import EMITTER, SOURCE, TOLD_COST
from usage_billing.models import UsageRecord, user_keys
from usage_billing.pages.dimensions import AGENT, CONTENT, MODEL, ORG, PROVIDER, TYPE, USER, Dimension, label
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import Changes
from usage_billing.reports.parameters import TAG

ACCOUNT = ("provider_organization", "provider_project", "api_key", "user_profile")
"""Parameters of the filters by the account at the provider."""
SHOWN_METADATA = 2_000
"""Characters of one value of the metadata."""


@dataclass(frozen=True)
class Fact:
    """link: the address of the calls with the same value; empty if the call has none."""

    label: str
    value: str
    link: str = ""


def attribution(page: Page, call: UsageRecord) -> list[Fact]:
    keys: list[tuple[Dimension, tuple[object, ...]]] = [
        (ORG, (call.org_id,)),
        (USER, (call.user_id if user_keys.is_user(call.user_id) else user_keys.nobody(),)),
        (AGENT, (call.agent_id,)),
        (TYPE, (call.request_type,)),
        (CONTENT, (call.content_id,)),
        (PROVIDER, (call.ai_provider,)),
        (MODEL, (call.ai_provider, call.ai_model)),
    ]
    return [_of(page, call, dimension, key) for dimension, key in keys]


def _of(page: Page, call: UsageRecord, dimension: Dimension, key: tuple[object, ...]) -> Fact:
    value = page.names.of(dimension, key)
    is_known = key[-1] not in (None, "")
    link = page.calls({**days_around(page, call), **dimension.narrowing(key)}) if is_known else ""
    return Fact(str(dimension.one), value if is_known else "—", link)


def tags(page: Page, call: UsageRecord) -> list[Fact]:
    return [
        Fact(key, value, page.calls({**days_around(page, call), f"{TAG}{key}": value}))
        for key, value in sorted(call.tags.items())
    ]


def account(page: Page, call: UsageRecord) -> list[Fact]:
    """The account at the provider that paid."""
    values = [(name, getattr(call, COLUMNS.get(name, name))) for name in ACCOUNT]
    return [
        Fact(label(name), value, page.calls({**days_around(page, call), name: value}))
        for name, value in values
        if value
    ]


def circumstances(call: UsageRecord) -> list[Fact]:
    """Facts that no report is narrowed by."""
    titles = {field.name: str(field.verbose_name) for field in UsageRecord._meta.concrete_fields}
    values = ((name, getattr(call, name)) for name in ("platform", "content_type", "task_type", "endpoint"))
    return [Fact(capfirst(titles[name]), value) for name, value in values if value]


def report(call: UsageRecord) -> list[Fact]:
    """How another program told the call, and the cost that it told; nothing for a call that we saw ourselves."""
    told = call.response_metadata
    sources = {
        "otlp": gettext("OpenTelemetry"),
        "events": gettext("Events sent to the API"),
        "import": gettext("Imported file"),
    }
    if (source := told.get(SOURCE)) is None:
        return []
    facts = [Fact(gettext("Reported by"), sources.get(source, str(source)))]
    if emitter := told.get(EMITTER):
        facts.append(Fact(gettext("Emitter"), _text(emitter)))
    if cost := told.get(TOLD_COST):
        facts.append(Fact(gettext("Cost as it was told, USD"), _text(cost)))
    return facts


def metadata(call: UsageRecord) -> list[Fact]:
    return [Fact(key, _text(value)) for key, value in sorted(call.request_metadata.items())]


def usage(call: UsageRecord) -> str:
    """The usage as the provider reported it."""
    return json.dumps(call.usage, indent=2, ensure_ascii=False) if call.usage else ""


def days_around(page: Page, call: UsageRecord) -> Changes:
    """The period of links to other calls: the usual one; for an older call the days around it."""
    if call.usage_date > page.today - timedelta(days=DEFAULT_DAYS):
        return {}
    half = timedelta(days=DEFAULT_DAYS // 2)
    return page.day(call.usage_date - half, call.usage_date + half)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_METADATA else text[:SHOWN_METADATA] + "…"
