"""The demo's calls, before the ledger has them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from usage_billing.management import demo_data
from usage_billing.management.demo_data import ORGANIZATIONS, Account
from usage_billing.management.demo_data_calls import calls_of
from usage_billing.management.demo_data_content import WRITTEN, pieces
from usage_billing.management.demo_data_incidents import RETRYING, monday_of_last_full_week
from usage_billing.management.demo_data_tasks import PREDECESSORS, TASKS, model_on
from usage_billing.models import Organization
from usage_billing.recording import Event
from usage_billing.recording.event import encode

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def account(slug: str) -> Account:
    """As `accounts` finds it, without a database."""
    of = next(organization for organization in ORGANIZATIONS if organization.slug == slug)
    org = Organization(pk=7, slug=slug, timezone=of.timezone)
    return Account(of, org, tuple(range(1, len(of.people) + 1)))


def calls(slug: str, days_ago: int, *, now: datetime = NOW) -> list[Event]:
    found = account(slug)
    return calls_of(found, now.astimezone(found.org.zone).date() - timedelta(days=days_ago), now)


def test_the_same_day_gives_the_same_calls() -> None:
    first = [encode(event) for event in calls("severny-veter", 3)]
    assert first == [encode(event) for event in calls("severny-veter", 3)]
    assert first != [encode(event) for event in calls("severny-veter", 4)]


def test_ids_are_unique_and_no_call_lies_ahead() -> None:
    events = [event for each in ORGANIZATIONS for day in range(40) for event in calls(each.slug, day)]
    assert len({event.request_id for event in events}) == len(events) > 2000
    assert all(event.started_at < NOW.timestamp() for event in events)
    assert calls("severny-veter", -1) == []


def test_a_stopped_organisation_has_no_calls_since() -> None:
    stopped = [organization for organization in ORGANIZATIONS if organization.stopped_days_ago]
    assert [organization.slug for organization in stopped] == ["tikhaya-gavan"]
    last = stopped[0].stopped_days_ago
    assert not any(calls("tikhaya-gavan", day) for day in range(last))
    assert calls("tikhaya-gavan", last)


def test_calls_of_a_workflow_belong_together() -> None:
    events = [event for day in range(20, 60) for event in calls("severny-veter", day)]
    sizes = Counter(event.attribution.workflow_id for event in events if event.attribution.workflow_id)
    assert len(sizes) > 200
    assert min(sizes.values()) == 2
    assert max(sizes.values()) <= 7
    for event in events:
        if event.attribution.workflow_id:
            assert event.attribution.tags.keys() in ({"feature", "team", "env"}, set())


def test_most_calls_have_tags_and_few_have_none() -> None:
    events = [event for day in range(20, 60) for event in calls("severny-veter", day)]
    tagged = [event.attribution.tags for event in events if event.attribution.tags]
    assert 0.9 < len(tagged) / len(events) < 1
    assert {tags["env"] for tags in tagged} == {"prod", "staging", "dev"}
    assert {tags["feature"] for tags in tagged} >= {task.feature for task in TASKS} - {"experiments"}


def test_content_of_a_call_is_a_piece_of_its_organisation() -> None:
    for slug, written in WRITTEN.items():
        known = {piece.id: piece for piece in pieces(slug)}
        assert len(known) == len(written)
        named = {event.attribution.content_id for day in range(0, 180, 9) for event in calls(slug, day)} - {None}
        assert named
        assert named <= known.keys()
    assert len({piece.id for slug in WRITTEN for piece in pieces(slug)}) == sum(map(len, WRITTEN.values()))


@pytest.mark.parametrize("now", [NOW + timedelta(days=day) for day in range(7)])
def test_incidents_lie_in_the_last_full_week(now: datetime) -> None:
    found = account(RETRYING)
    monday = monday_of_last_full_week(now)
    assert (monday.weekday(), (now.date() - monday).days) == (0, now.weekday() + 7)
    week = [event for day in range(7) for event in calls_of(found, monday + timedelta(days=day), now)]
    retries = [event for event in week if event.request_id.startswith("demo-retry-")]
    assert len({event.attribution.workflow_id for event in retries}) == 1
    overload = [event.started_at for event in week if event.error_code == "529 overloaded_error"]
    assert len(overload) >= 20
    assert max(overload) - min(overload) <= 20 * 60


def test_models_change_over() -> None:
    today = date(2026, 11, 28)
    for model, (before, days) in PREDECESSORS.items():
        assert model_on(model, today - timedelta(days=days), today) == model
        assert model_on(model, today - timedelta(days=days + 1), today) == before
    assert model_on("gpt-7-preview", date(2026, 1, 1), today) == "gpt-7-preview"


def test_logins_name_each_person_once() -> None:
    logins = demo_data.logins()
    assert len({login.username for login in logins}) == len(logins)
    assert logins[0] == demo_data.DemoLogin("admin", "superadmin")
    owners = Counter(login.organization for login in logins if login.role == "owner")
    members = Counter(login.organization for login in logins if login.role == "member")
    names = {organization.name for organization in ORGANIZATIONS}
    assert owners == dict.fromkeys(names, 1)
    assert members.keys() == names


def test_accounts_have_the_owner_first(db: None) -> None:
    demo_data.create_people()
    accounts = demo_data.accounts()
    assert [each.organization for each in accounts] == list(ORGANIZATIONS)
    assert all(each.org.language == each.organization.language for each in accounts)
    assert [len(each.user_ids) for each in accounts] == [len(each.people) for each in ORGANIZATIONS]


def test_a_rate_depends_on_its_day_alone(db: None) -> None:
    from usage_billing.models import ExchangeRate

    demo_data.create_rates(date(2026, 11, 20))
    first = dict(ExchangeRate.objects.values_list("date", "usd_rub"))
    demo_data.create_rates(date(2026, 11, 27))
    later = dict(ExchangeRate.objects.values_list("date", "usd_rub"))
    assert len(later) == len(first) + 5
    assert all(later[day] == rate for day, rate in first.items())
    assert all(75 < rate < 88 for rate in later.values())
