"""Texts of messages: one for each kind, in the reader's language, on one line."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from tests.support import factories
from tests.support.configure import configure
from tests.support.factories import NOON
from tests.usage_billing.alerts.conftest import budget, channel, rule
from usage_billing.alerts import links
from usage_billing.alerts.messages import Message, compose, language_of
from usage_billing.models import AlertDelivery, AlertFiring, AlertRule, Budget, Organization

Kind, Window = AlertRule.Kind, Budget.Window


@pytest.fixture
def english(org: Organization) -> Organization:
    org.language = "en"
    org.save()
    return org


def message(
    org: Organization | None, *, value: str, bound: str, key: str = "", event: str = "firing", **fields: Any
) -> Message:
    now = fields.pop("now", value)
    firing = AlertFiring.objects.create(
        org=org, key=key, value=Decimal(value), bound=Decimal(bound), began_at=NOON, **fields
    )
    told = Decimal(now) if now is not None else None
    return compose(AlertDelivery(org=org, firing=firing, event=event, value=told, recipient="a@example.com"), NOON)


@pytest.mark.parametrize(
    ("window", "first", "text"),
    [
        (Window.MONTH, "2026-11-01", "November 2026"),
        (Window.DAY, "2026-11-28", "28 November 2026"),
        (Window.WEEK, "2026-11-30", "30 November 2026 – 6 December 2026"),
        (Window.TOTAL, "2026-11-18", "since 18 November 2026"),
    ],
)
def test_a_share_of_a_budget(english: Organization, window: str, first: str, text: str) -> None:
    found = message(english, value="83.1", bound="80", key=f"{first}/80", budget=budget(english, "100", window=window))
    assert found.subject == "Северный ветер: “November” has reached 80%"
    assert found.text == f"Spent $83.10 of $100.00 (83.1%), {text}. Since 18 November 2026, 12:00."


def test_the_limit_is_that_of_the_alert_though_the_budget_was_changed(english: Organization) -> None:
    found = message(english, value="83", bound="80", key="2026-11-01/80", budget=budget(english, "500"))
    assert "of $100.00 (83%)" in found.text


def test_a_forecast(english: Organization) -> None:
    tokens = budget(english, "1000000", unit=Budget.Unit.TOKENS)
    found = message(english, value="1200000", bound="1000000", key="2026-11-01/forecast", budget=tokens)
    assert found.subject == "Северный ветер: “November” will probably be exceeded"
    assert found.sentences[0] == (
        "The forecast for the end of the period is 1,200,000 tokens, the limit is 1,000,000 tokens, November 2026."
    )


@pytest.mark.parametrize(
    ("kind", "fields", "value", "bound", "key", "title", "sentence"),
    [
        (Kind.SPEND, {"step": "hour", "by": "ai_model"}, "50", "10", "gpt-4.1", "spend far above the usual",
         "gpt-4.1: $50.00 spent within an hour; up to $10.00 is usual."),
        (Kind.UNPRICED, {}, "12.5", "10", "", "calls without a price",
         "Северный ветер: 12.5% of the calls within a day have no price. The threshold is 10%."),
        (Kind.ERRORS, {}, "30", "25", "", "calls fail",
         "Северный ветер: 30% of the calls within a day have failed. The threshold is 25%."),
        (Kind.P95_TIME, {}, "31000", "5000", "", "calls are slow",
         "Северный ветер: 95% of the calls within a day took up to 31\u00a0s. The threshold is 5\u00a0s."),
        (Kind.SILENCE, {}, "3", "1", "", "no calls", "Северный ветер: no call for 3 hours. The threshold is 1 hour."),
    ],
)  # fmt: skip
def test_rules(
    english: Organization,
    kind: AlertRule.Kind,
    fields: Any,
    value: str,
    bound: str,
    key: str,
    title: str,
    sentence: str,
) -> None:
    found = message(english, value=value, bound=bound, key=key, rule=rule(english, kind, **fields))
    assert found.subject == f"Северный ветер: “A rule”: {title}"
    assert found.sentences[0] == sentence


def test_an_installation_wide_rule_names_the_organisation(org: Organization, settings: Settings) -> None:
    settings.LANGUAGE_CODE = "en"
    errors = rule(None, Kind.ERRORS, by="org_id")
    found = message(None, value="30", bound="25", key=str(org.pk), rule=errors)
    assert found.subject == "All organisations: “A rule”: calls fail"
    assert found.sentences[0].startswith("Северный ветер: 30% of the calls")


def test_an_outbox_is_named_by_its_machine(settings: Settings, db: None) -> None:
    settings.LANGUAGE_CODE = "en"
    found = message(None, value="300", bound="100", key="web-1:/var/outbox", rule=rule(None, Kind.BACKLOG))
    assert found.sentences[0] == (
        "web-1:/var/outbox: 300 events in the outbox. The threshold is 100 events. Check that drain_usage runs."
    )


def test_the_end_says_why(english: Organization) -> None:
    errors = rule(english, Kind.ERRORS)
    given: Any = {"value": "30", "bound": "25", "rule": errors, "event": "resolved", "state": "resolved"}
    below = message(english, now="12", ended="below", **given)
    assert below.subject == "Северный ветер: Over: “A rule”: calls fail"
    assert below.sentences[0].startswith("Северный ветер: 30% of the calls")
    assert below.sentences[1] == "It is over: now 12%."
    month = message(
        english, value="83", now="97", bound="80", key="2026-11-01/80", budget=budget(english, "100"),
        event="resolved", state="resolved", ended="window",
    )  # fmt: skip
    assert month.text == "Spent $97.00 of $100.00 (97%), November 2026. The period has ended."


def test_a_reminder_has_the_value_of_now(english: Organization) -> None:
    found = message(english, value="30", now="44", bound="25", rule=rule(english, Kind.ERRORS), event="still_firing")
    assert found.subject == "Северный ветер: Still: “A rule”: calls fail"
    assert found.sentences[0].startswith("Северный ветер: 44% of the calls")


def test_names_of_people_do_not_break_lines(english: Organization) -> None:
    errors = rule(english, Kind.ERRORS, name="A\r\nBcc: everybody@example.com\x1b" + "x" * 60)
    found = message(english, value="30", bound="25", rule=errors)
    assert "\r" not in found.subject + found.text
    assert "\n" not in found.subject + found.text
    assert "\x1b" not in found.subject


def test_languages(org: Organization, settings: Settings) -> None:
    settings.LANGUAGE_CODE = "ru"
    org.language = "en"
    hook = channel(org)
    found = AlertDelivery(org=org, channel=hook)
    assert language_of(found) == "en"
    hook.language = "ru"
    assert language_of(found) == "ru"
    hook.language = "xx"
    assert language_of(found) == "en"
    assert language_of(AlertDelivery(recipient="a@example.com")) == "ru"


def test_links_need_a_public_address_and_a_page(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "page_sources", [lambda _: "", lambda _: "/usage/alerts"])
    configure(settings, PUBLIC_URL="")
    assert links.address_of(None) == ""
    configure(settings, PUBLIC_URL="https://costs.example.com")
    assert links.address_of(None) == "https://costs.example.com/usage/alerts"
    monkeypatch.setattr(links, "page_sources", [])
    assert links.address_of(None) == ""


def test_moments_are_in_the_organisations_zone(db: None) -> None:
    far = factories.organization("Far", "Asia/Vladivostok")
    far.language = "en"
    far.save()
    found = message(far, value="30", bound="25", rule=rule(far, Kind.ERRORS))
    assert found.sentences[1] == "Since 18 November 2026, 19:00."
