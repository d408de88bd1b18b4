"""One alert for each crossing, with its deliveries, whatever comes late and however many look."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from tests.support import factories
from tests.support.factories import NOON, own_price
from tests.usage_billing.alerts.conftest import budget, calls, channel, rule
from usage_billing.alerts import check_all, editing, firings
from usage_billing.alerts.firings import check
from usage_billing.alerts.recipients import Recipient, recipients
from usage_billing.costing.overrides import PriceOverrides
from usage_billing.ledger import repricing
from usage_billing.ledger.repricing import Scope
from usage_billing.models import AlertDelivery, AlertFiring, AlertRoute, AlertRule, Organization
from usage_billing.tenancy.scope import EVERYTHING

Kind = AlertRule.Kind
DECEMBER = NOON + timedelta(days=20)
JANUARY = NOON + timedelta(days=50)


def told() -> list[tuple[str, str]]:
    """Event and key of each delivery, in order."""
    return [
        (each.event, each.firing.key)
        for each in AlertDelivery.objects.select_related("firing").order_by("pk")
        if each.firing
    ]


def state(key: str) -> list[tuple[str, str]]:
    return [*AlertFiring.objects.filter(key=key).order_by("pk").values_list("state", "ended")]


def test_each_threshold_is_told_once(org: Organization) -> None:
    channel(org)
    budget(org, "0.0011", thresholds=[50, 100])
    assert check_all(NOON) == []
    calls(org)
    assert [(each.event, each.key, each.deliveries) for each in check_all(NOON)] == [("firing", "2026-11-01/50", 1)]
    assert check_all(NOON) == []
    calls(org)
    check_all(NOON)
    check_all(NOON)
    assert told() == [("firing", "2026-11-01/50"), ("firing", "2026-11-01/100")]


def test_a_dry_run_writes_nothing(org: Organization) -> None:
    budget(org, "0.001", thresholds=[50])
    calls(org)
    assert [each.key for each in check_all(NOON, dry_run=True)] == ["2026-11-01/50"]
    assert not AlertFiring.objects.exists()


def reprice(prices: dict[str, str]) -> None:
    own_price("gpt-4.1-mini", prices)
    scope = Scope(NOON.date().replace(day=1), NOON.date())
    run = scope.start_run(by="anna", reason="a contract", at=timezone.now())
    for _batch in repricing.reprice(scope, run, PriceOverrides.load()):
        pass
    repricing.finish(run, at=timezone.now())


def test_repricing_below_the_bound_resolves_and_the_next_crossing_is_told_again(org: Organization) -> None:
    channel(org)
    budget(org, "0.001", thresholds=[50])
    calls(org)
    check_all(NOON)
    reprice({"input_mtok": "0.1", "output_mtok": "0.1"})
    check_all(NOON)
    assert state("2026-11-01/50") == [("resolved", "below")]
    calls(org, 5)
    check_all(NOON)
    assert told() == [("firing", "2026-11-01/50"), ("resolved", "2026-11-01/50"), ("firing", "2026-11-01/50")]


def test_a_crossing_seen_only_by_backfill_fires(org: Organization) -> None:
    """The calls of November come in December, when its budget is over."""
    channel(org)
    budget(org, "0.001", thresholds=[50])
    check_all(DECEMBER)
    calls(org)
    check_all(DECEMBER)
    check_all(DECEMBER)
    assert told() == [("firing", "2026-11-01/50")]
    assert state("2026-11-01/50") == [("resolved", "window")]


def test_repricing_and_late_records_move_a_closed_period(org: Organization) -> None:
    channel(org)
    budget(org, "0.001", thresholds=[50])
    calls(org)
    check_all(NOON)
    check_all(DECEMBER)
    assert state("2026-11-01/50") == [("resolved", "window")]
    reprice({"input_mtok": "0.1", "output_mtok": "0.1"})
    check_all(DECEMBER)
    assert state("2026-11-01/50") == [("resolved", "below")]
    calls(org, 5)
    check_all(DECEMBER)
    check_all(DECEMBER)
    assert [event for event, _key in told()] == ["firing", "resolved", "firing"]


def test_the_end_of_a_window_is_told_to_programs_alone(org: Organization) -> None:
    hook = channel(org)
    slack = channel(org, "https://example.com/slack", name="Slack", kind="slack")
    budget(org, "0.001", thresholds=[50])
    calls(org)
    check_all(NOON)
    check_all(JANUARY)
    found = AlertDelivery.objects.order_by("pk").values_list("event", "channel")
    assert {*found} == {("firing", hook.pk), ("firing", slack.pk), ("resolved", hook.pk)}


def test_a_rule_tells_again_after_its_hours(org: Organization) -> None:
    channel(org)
    calls(org, 10, status="failed", error_code="500")
    rule(org, Kind.ERRORS, bound=50, renotify_hours=2)
    for hours in (0, 1, 2, 3, 4):
        check_all(NOON + timedelta(hours=hours))
    assert [event for event, _key in told()] == ["firing", "still_firing", "still_firing"]


def test_channels_of_the_rule_else_of_the_organisation_else_owners(org: Organization) -> None:
    owner = factories.owner(org)
    owner.email = "Olga@example.com"
    owner.save()
    found = rule(org, Kind.ERRORS, bound=50)
    assert recipients(org.pk, found) == [Recipient(None, "Olga@example.com")]
    hook = channel(org)
    mail = channel(org, "a@example.com, b@example.com,A@example.com", name="Mail", kind="email")
    channel(org, name="Off", is_active=False)
    channel(None, name="Of superadmins")
    of_mail = [Recipient(mail, "A@example.com"), Recipient(mail, "b@example.com")]
    assert recipients(org.pk, found) == recipients(org.pk) == [Recipient(hook, ""), *of_mail]
    AlertRoute.objects.create(org=org, rule=found, channel=mail)
    assert recipients(org.pk, found) == of_mail
    assert len(recipients(org.pk)) == 3


def test_installation_wide_alerts_go_to_superadmins(org: Organization) -> None:
    factories.owner(org)
    admin = factories.superadmin()
    admin.email = "admin@example.com"
    admin.save()
    channel(org, "https://example.com/of-the-organisation")
    calls(org, 10, status="failed", error_code="500")
    rule(None, Kind.ERRORS, bound=50)
    check_all(NOON)
    delivery = AlertDelivery.objects.get()
    assert (delivery.org, delivery.channel, delivery.recipient) == (None, None, "admin@example.com")


@pytest.mark.parametrize("what", ["budget", "organisation"])
def test_what_is_switched_off_ends_silently(org: Organization, what: str) -> None:
    channel(org)
    found = budget(org, "0.001", thresholds=[50])
    calls(org)
    check_all(NOON)
    if what == "budget":
        found.is_active = False
        found.save()
    else:
        org.closed_at = NOON
        org.save()
    check_all(NOON)
    assert state("2026-11-01/50") == [("resolved", "unwatched")]
    assert len(told()) == 1


def test_a_rule_that_watches_another_budget_tells_of_that_one(org: Organization) -> None:
    channel(org)
    first, second = (budget(org, "0.0006", name=name, thresholds=[]) for name in "AB")
    calls(org)
    watching = rule(org, Kind.BUDGET_SHARE, bound=80, budget=first)
    check_all(NOON)
    editing.save_rule(watching, scope=EVERYTHING, values={"budget_id": second.pk})
    check_all(NOON)
    assert state("2026-11-01/80") == [("resolved", "unwatched"), ("firing", "")]
    assert [each.firing and each.firing.budget for each in AlertDelivery.objects.order_by("pk")] == [first, second]


def test_an_alert_is_over_when_nothing_is_called_any_more(org: Organization) -> None:
    channel(org)
    rule(org, Kind.ERRORS, bound=5, step="hour")
    calls(org, 6, status="failed")
    check_all(NOON)
    check_all(NOON + timedelta(hours=1))
    assert told() == [("firing", "")]
    check_all(NOON + timedelta(hours=2))
    assert (told(), state("")) == ([("firing", ""), ("resolved", "")], [("resolved", "below")])


def test_a_rule_that_cannot_be_read_does_not_hold_up_the_others(
    org: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    calls(org, 10, status="failed", error_code="500")
    rule(org, Kind.ERRORS, name="Broken", bound=1, scope={"no such": 1})
    rule(org, Kind.ERRORS, name="Sound", bound=1)
    assert [each.name for each in check_all(NOON)] == ["Sound"]
    assert "Broken" in caplog.text


def test_a_name_writes_no_line_of_the_log(org: Organization, caplog: pytest.LogCaptureFixture) -> None:
    calls(org)
    budget(org, "0.001", thresholds=[50], name="A\nERROR of somebody else")
    check_all(NOON)
    assert "(A ERROR of somebody else)" in caplog.text


def test_another_machine_does_not_end_the_alert_of_an_outbox(
    org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rule(None, Kind.BACKLOG, bound=1)
    other = AlertFiring.objects.create(rule=found, key="elsewhere:/outbox", value=9, bound=1, began_at=NOON)
    check_all(NOON + timedelta(hours=1))
    other.refresh_from_db()
    assert other.state == "firing"
    check_all(NOON + timedelta(days=2))
    other.refresh_from_db()
    assert (other.state, other.ended) == ("resolved", "unwatched")


def in_threads(count: int, work: Callable[[], object]) -> None:
    start, errors = threading.Barrier(count), []

    def run() -> None:
        try:
            start.wait()
            work()
        except Exception as error:  # noqa: BLE001 - the test shows it
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []


@pytest.mark.django_db(transaction=True)
def test_several_evaluators_at_once_tell_once(monkeypatch: pytest.MonkeyPatch) -> None:
    org = factories.organization()
    factories.rate()
    channel(org)
    budget(org, "0.001", thresholds=[10, 20, 30, 40])
    rule(org, Kind.UNPRICED, bound=10)
    calls(org)
    calls(org, model="gpt-99")
    # All of them see the crossings before one of them writes.
    seen = threading.Barrier(6)
    with_changes = firings._with_changes

    def together(now: Any) -> Any:
        found = [*with_changes(now)]
        seen.wait()
        yield from found

    monkeypatch.setattr(firings, "_with_changes", together)
    in_threads(6, lambda: check_all(NOON))
    keys = ["", "2026-11-01/10", "2026-11-01/20", "2026-11-01/30", "2026-11-01/40"]
    assert sorted(AlertFiring.objects.values_list("key", flat=True)) == keys
    assert sorted(key for _event, key in told()) == keys


@pytest.mark.django_db(transaction=True)
def test_a_stale_evaluator_does_not_raise_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has seen the crossing, and comes to write when it is below again."""
    org = factories.organization()
    factories.rate()
    found = budget(org, "0.001", thresholds=[50])
    calls(org)
    subjects = [*firings._with_changes(NOON)]
    assert subjects == [found]
    found.limit *= 100
    found.save()
    assert check(subjects[0], NOON) == []
    assert not AlertFiring.objects.exists()
