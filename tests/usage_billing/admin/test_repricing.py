"""Repricing in the admin: a dry run comes first, another process does the work, its page shows how far it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.support import factories
from tests.support.factories import event, own_price
from usage_billing.ledger import repricing, repricing_requests, repricing_thread, writer
from usage_billing.ledger.repricing import Scope
from usage_billing.models import Organization, RepriceRun, UsageRecord
from usage_billing.models.reprice_run import SILENT_AFTER

RUNS = "admin:usage_billing_repricerun"
ADD = f"{RUNS}_add"

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls(acme: Organization) -> Organization:
    """Two unpriced calls of gpt-99 and one of gpt-4.1-mini, with a price for gpt-99 since then: 0.0012 USD each."""
    factories.rate()
    writer.add([event(org=acme), event(org=acme, model="gpt-99"), event(org=acme, model="gpt-99")])
    own_price("gpt-99*")
    return acme


def form(**fields: Any) -> dict[str, Any]:
    return {
        "date_from": "2026-11-01",
        "date_to": "2026-11-30",
        "provider": "",
        "model": "",
        "org": "",
        "reason": "A new contract",
        **fields,
    }


def dry_run(client: Client, **fields: Any) -> Any:
    response = client.post(reverse(ADD), form(**fields, _dry_run="1"))
    assert response.status_code == 200
    return response


def start(client: Client, **fields: Any) -> Any:
    """Start a run as a person would: with the values that the dry run was shown for."""
    token = dry_run(client, **fields).context["token"]
    return client.post(reverse(ADD), form(**fields, _run="1", seen_scope=token))


def begun(**fields: Any) -> RepriceRun:
    given: dict[str, Any] = {"date_from": date(2026, 11, 1), "date_to": date(2026, 11, 30), "by": "anna", "reason": "x"}
    return RepriceRun.objects.create(**{**given, "started_at": timezone.now(), **fields})


def page(client: Client, run: RepriceRun) -> Any:
    return client.get(reverse(f"{RUNS}_change", args=[run.pk]))


def errors(response: Any) -> dict[str, list[str]]:
    return {name: list(texts) for name, texts in response.context["adminform"].form.errors.items()}


# ── Dry run, start ───────────────────────────────────────────────────────────────────────────────────────────────


def test_dry_run_shows_what_would_change_and_writes_nothing(superadmin: Client, calls: Organization) -> None:
    before = list(UsageRecord.objects.order_by("pk").values())
    response = dry_run(superadmin, reason="")
    measures = response.context["measures"]
    assert (measures["records_seen"], measures["records_changed"]) == (3, 2)
    assert (measures["usd_before"], measures["usd_after"]) == (0, Decimal("0.0024"))
    assert (measures["unpriced_before"], measures["unpriced_after"]) == (2, 0)
    assert response.context["largest_changes"] == [("gpt-99", 2, 0, Decimal("0.0024"))]
    text = response.content.decode()
    assert "All 3 calls were looked at. Nothing was written." in text
    assert 'name="_run"' in text
    assert (list(UsageRecord.objects.order_by("pk").values()), RepriceRun.objects.count()) == (before, 0)


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"model": "gpt-9*"}, 2),
        ({"model": "GPT-9*", "provider": "OpenAI"}, 2),
        ({"model": "gpt-99"}, 2),
        ({"model": "gpt-99-*"}, 0),
        ({"provider": "anthropic"}, 0),
        ({"only_unpriced": "on"}, 2),
        ({"date_to": "2026-11-17"}, 0),
    ],
)
def test_run_is_narrowed(superadmin: Client, calls: Organization, fields: dict[str, str], seen: int) -> None:
    sample = dry_run(superadmin, **fields).context["sample"]
    assert (sample.expected, sample.tally.measures["records_seen"]) == (seen, seen)


def test_gateways_names_are_repriced_with_the_models_own(superadmin: Client, calls: Organization) -> None:
    writer.add([event(org=calls, model="openai/gpt-99-mini")])
    assert dry_run(superadmin, model="gpt-99*", provider="openai").context["sample"].expected == 3


def test_nothing_to_change_cannot_be_started(superadmin: Client, calls: Organization) -> None:
    text = dry_run(superadmin, model="gpt-4.1-mini").content.decode()
    assert "Nothing would change: these calls have the current prices already." in text
    assert 'name="_run"' not in text


def test_large_dry_run_is_of_some_calls_and_says_so(
    superadmin: Client, calls: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = [factories.NOON + timedelta(days=days) for days in (1, 2, 3)]
    writer.add([event(org=calls, at=at) for at in later for _ in range(3)])
    monkeypatch.setattr(repricing, "SAMPLED", 4)
    monkeypatch.setattr(repricing, "SAMPLED_DAYS", 2)
    response = dry_run(superadmin)
    assert response.context["sample"].is_of_all is False
    assert "Of about 12 calls, 4 on 2 days were looked at; the sums are of these." in response.content.decode()


def test_run_begins_after_its_own_dry_run_alone(superadmin: Client, calls: Organization) -> None:
    without = superadmin.post(reverse(ADD), form(_run="1"))
    assert "Nothing has started: these calls had no dry run yet." in without.content.decode()
    token = dry_run(superadmin, model="gpt-99").context["token"]
    others = superadmin.post(reverse(ADD), form(_run="1", seen_scope=token))
    assert (others.status_code, RepriceRun.objects.count()) == (200, 0)
    started = superadmin.post(reverse(ADD), form(model="gpt-99", _run="1", seen_scope=token))
    run = RepriceRun.objects.get()
    assert started["Location"] == reverse(f"{RUNS}_change", args=[run.pk])
    assert (run.by, run.reason, run.model, run.state(timezone.now())) == ("root", "A new contract", "gpt-99", "waiting")
    assert run.last_date is None


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"reason": " "}, "reason", "Write why the past costs change: the log keeps it."),
        ({"date_to": "2026-10-01"}, "date_to", "This day is before the first one."),
        ({"date_from": "soon"}, "date_from", "Enter a valid date."),
    ],
)
def test_bad_values_are_refused(
    superadmin: Client, calls: Organization, fields: dict[str, str], field: str, text: str
) -> None:
    response = superadmin.post(reverse(ADD), form(**fields, _run="1"))
    assert errors(response) == {field: [text]}
    assert not RepriceRun.objects.exists()


@pytest.mark.parametrize("worked_ago", [None, timedelta(seconds=5)])
def test_second_run_at_once_is_refused(superadmin: Client, calls: Organization, worked_ago: timedelta | None) -> None:
    active = begun(worked_at=None if worked_ago is None else timezone.now() - worked_ago)
    response = start(superadmin)
    (text,) = errors(response)["__all__"]
    assert text == f"Repricing {active.pk} by anna is not finished: 1 Nov 2026 to 30 Nov 2026. Wait for its end."
    assert RepriceRun.objects.count() == 1


def test_run_that_came_between_is_shown_instead(
    superadmin: Client, calls: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form found no active run, and another request was quicker."""
    token = dry_run(superadmin).context["token"]
    other = begun()
    monkeypatch.setattr("usage_billing.admin.repricing_form.repricing_requests.active_run", lambda _at: None)
    monkeypatch.setattr(repricing_requests, "active_run", lambda _at: None if _first(seen) else other)
    seen: list[None] = []
    response = superadmin.post(reverse(ADD), form(_run="1", seen_scope=token))
    assert response["Location"] == reverse(f"{RUNS}_change", args=[other.pk])
    assert RepriceRun.objects.count() == 1


def _first(seen: list[None]) -> bool:
    seen.append(None)
    return len(seen) == 1


# ── Work ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_requested_run_is_worked_on_and_its_page_shows_the_end(superadmin: Client, calls: Organization) -> None:
    start(superadmin)
    run = RepriceRun.objects.get()
    waiting = page(superadmin, run)
    assert (waiting["Refresh"], waiting.context["state"]) == ("3", "waiting")
    repricing_thread.work()
    run.refresh_from_db()
    assert (run.state(timezone.now()), run.records_seen, run.records_changed) == ("finished", 3, 2)
    assert (run.usd_after, UsageRecord.objects.filter(cost_usd=None).count()) == (Decimal("0.0024"), 0)
    call_command("check_usage")
    finished = page(superadmin, run)
    assert (finished.has_header("Refresh"), finished.context["state"]) == (False, "finished")
    assert finished.context["adminform"].form.fields == {}


def test_page_shows_how_far_a_run_is(superadmin: Client, calls: Organization) -> None:
    run = begun(worked_at=timezone.now(), records_seen=2)
    response = page(superadmin, run)
    assert (response.context["state"], response.context["percent"]) == ("running", 66)
    assert "2 of about 3 calls seen (66 %)." in response.content.decode()
    assert response["Refresh"] == "3"


def interrupt_after(batches: int, monkeypatch: pytest.MonkeyPatch, end: Callable[[], Any]) -> None:
    """Reprice in batches of one call; call `end` before the batch after so many."""
    monkeypatch.setattr(repricing, "BATCH", 1)
    original = writer.apply_changes
    done: list[None] = []

    def counted(*arguments: Any) -> Any:
        if len(done) == batches:
            end()
        done.append(None)
        return original(*arguments)

    monkeypatch.setattr(writer, "apply_changes", counted)


def test_error_stops_a_run_which_is_then_continued(
    superadmin: Client, calls: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(superadmin)
    run = RepriceRun.objects.get()
    with monkeypatch.context() as patch:
        interrupt_after(1, patch, lambda: 1 / 0)
        repricing_thread.work()
    run.refresh_from_db()
    assert (run.state(timezone.now()), run.problem, run.records_seen) == (
        "failed", "ZeroDivisionError: division by zero", 1,
    )  # fmt: skip
    text = page(superadmin, run).content.decode()
    assert "An error stopped it: ZeroDivisionError: division by zero. Calls seen until then: 1." in text
    address = reverse(f"{RUNS}_continue", args=[run.pk])
    assert address in text
    superadmin.post(address)
    again = RepriceRun.objects.get(continues=run)
    assert (again.by, again.reason, again.last_id) == ("root", "A new contract", run.last_id)
    repricing_thread.work()
    again.refresh_from_db()
    assert (again.state(timezone.now()), again.records_seen) == ("finished", 2)
    assert UsageRecord.objects.filter(cost_usd=None).count() == 0
    assert f"Repricing {again.pk} goes on from there." in page(superadmin, run).content.decode()
    superadmin.post(address)
    assert RepriceRun.objects.count() == 2


def test_killed_run_is_shown_as_interrupted_and_blocks_no_other(superadmin: Client, calls: Organization) -> None:
    killed = begun(worked_at=timezone.now() - SILENT_AFTER - timedelta(seconds=1), records_seen=1)
    response = page(superadmin, killed)
    assert (response.context["state"], response.has_header("Refresh")) == ("interrupted", False)
    text = response.content.decode()
    assert "The process that worked on it has ended; its last work was at" in text
    assert "What was repriced stays" in text
    assert reverse(f"{RUNS}_continue", args=[killed.pk]) in text
    repricing_thread.work()
    killed.refresh_from_db()
    assert killed.records_seen == 1
    assert start(superadmin).status_code == 302


def test_process_that_ends_leaves_its_run_to_the_next(calls: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = Scope(date(2026, 11, 1), date(2026, 11, 30))
    run = repricing_requests.request_run(scope, by="anna", reason="x", at=timezone.now())
    with monkeypatch.context() as patch:
        interrupt_after(1, patch, repricing_thread._ending.set)
        repricing_thread.work()
    repricing_thread._ending.clear()
    run.refresh_from_db()
    assert (run.state(timezone.now()), run.records_seen) == ("waiting", 2)
    repricing_thread.work()
    run.refresh_from_db()
    assert (run.state(timezone.now()), run.records_seen) == ("finished", 3)
    call_command("check_usage")


def test_one_of_two_processes_gets_a_run(calls: Organization) -> None:
    run = begun()
    now = timezone.now()
    assert repricing_requests.take_waiting(now) == run
    assert repricing_requests.take_waiting(now) is None


def test_thread_of_this_process_does_the_work_after_the_commit(
    superadmin: Client,
    calls: Organization,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    started: list[str] = []
    monkeypatch.setattr(repricing_thread, "is_in_this_process", lambda: True)
    monkeypatch.setattr(repricing_thread, "start", lambda: started.append("started"))
    with django_capture_on_commit_callbacks() as callbacks:
        start(superadmin)
    assert (started, len(callbacks)) == ([], 1)
    callbacks[0]()
    assert started == ["started"]


def test_run_of_the_command_line_is_shown_and_can_be_continued_by_either(
    superadmin: Client, calls: Organization
) -> None:
    scope = Scope(date(2026, 11, 1), date(2026, 11, 30), provider="openai", model="gpt-9*")
    run = scope.start_run(by="anna", reason="why", at=timezone.now())
    assert page(superadmin, run).context["state"] == "running"
    assert scope.unfinished_run() == run
    RepriceRun.objects.update(worked_at=timezone.now() - SILENT_AFTER)
    superadmin.post(reverse(f"{RUNS}_continue", args=[run.pk]))
    repricing_thread.work()
    assert scope.unfinished_run() is None


# ── Who may ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", ["owner", "member", None])
def test_repricing_is_for_superadmins(client: Client, calls: Organization, role: str | None) -> None:
    person = User.objects.create_user("staff", is_staff=True)
    person.user_permissions.set(Permission.objects.all())
    if role:
        person.usage_memberships.create(org=calls, role=role)
    run = begun(worked_at=timezone.now() - SILENT_AFTER)
    client.force_login(person)
    addresses = [
        reverse(f"{RUNS}_changelist"),
        reverse(ADD),
        reverse(f"{RUNS}_continue", args=[run.pk]),
    ]
    assert {address: client.post(address, form(_run="1")).status_code for address in addresses} == dict.fromkeys(
        addresses, 403
    )
    assert page(client, run).status_code in (302, 403)
    assert RepriceRun.objects.count() == 1


def test_superadmin_without_the_permission_is_none(client: Client, calls: Organization) -> None:
    client.force_login(User.objects.create_user("olga"))
    assert client.post(reverse(ADD), form()).status_code == 302
    assert not RepriceRun.objects.exists()


def test_log_of_runs_cannot_be_changed(superadmin: Client) -> None:
    run = begun(
        reason="<b>why</b>",
        records_seen=12345,
        usd_before=Decimal("1.5"),
        usd_after=Decimal(2),
        finished_at=timezone.now(),
    )
    addresses = [reverse(f"{RUNS}_{page}", args=[run.pk]) for page in ("change", "delete")]
    assert [superadmin.post(address, {"by": "me"}).status_code for address in addresses] == [403, 403]
    text = superadmin.get(reverse(f"{RUNS}_changelist")).content.decode()
    assert "0 of 12,345" in text
    assert "$1.50 → $2.00" in re.sub("<[^>]*>", "", text)
    assert "finished" in text
    assert "<b>why" not in text + page(superadmin, run).content.decode()


@pytest.mark.postgres
def test_the_webs_role_may_request_a_run_and_not_write_its_figures(superadmin: Client, calls: Organization) -> None:
    """These requests run in the superadmin's role."""
    from django.db import DatabaseError, transaction

    from usage_billing.tenancy.scope import EVERYTHING, within

    start(superadmin)
    run = RepriceRun.objects.get()
    for statement in (lambda: RepriceRun.objects.filter(pk=run.pk).update(usd_after=1), run.delete):
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), within(EVERYTHING):
            statement()
