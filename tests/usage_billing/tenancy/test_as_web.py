"""The service works with the logins of production, which own nothing: requests, admin, ledger and commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from ai_clients.assistants.digest.subscription import subscribers
from tests.support import statement_watch
from tests.support.factories import event
from tests.support.far_server import FarServer, far
from tests.support.recorded import Recorded
from tests.usage_billing.tenancy.conftest import World
from usage_billing import reports
from usage_billing.auth import service_tokens
from usage_billing.ledger import drain, writer
from usage_billing.models import DailyTagUsage, Membership, Organization, TagValue, UsageRecord
from usage_billing.recording.event import encode
from usage_billing.recording.outbox import Outbox
from usage_billing.tenancy import roles
from usage_billing.tenancy.scope import EVERYTHING, of_organization, scope_of, scoped, within

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

API = "/api/billing/usage/tokens"
NOW = timezone.now()


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_each_person_sees_their_own_calls_in_the_api(as_web: World) -> None:
    seen = {}
    for name in ("admin", "owner", "member", "stranger"):
        client = client_of(getattr(as_web, name))
        summary = client.get(f"{API}/summary").json()["data"]["all_time"]["requests_count"]
        listed = client.get(f"{API}/detailed").json()["data"]
        export: Any = client.get(f"{API}/export?format=jsonl")
        exported = b"".join(export.streaming_content).count(b"\n")
        by_user = client.get(f"{API}/by-user?from=2026-11-01").json()["data"]["total"]["requests_count"]
        assert summary == listed["count"] == len(listed["items"]) == exported == by_user
        seen[name] = summary
    assert seen == {"admin": 8, "owner": 4, "member": 2, "stranger": 4}


def test_the_pages_and_the_admin_work(as_web: World) -> None:
    browser = Client()
    for user, address in (
        (as_web.owner, "/usage/"),
        (as_web.member, "/usage/"),
        (as_web.admin, "/superadmin/ai-costs"),
        (as_web.admin, "/superadmin/usage_billing/usagerecord/"),
        (as_web.admin, "/superadmin/usage_billing/organization/"),
        (as_web.admin, "/superadmin/usage_billing/priceoverride/"),
        (as_web.admin, "/superadmin/usage_billing/repricerun/"),
    ):
        browser.force_login(user)
        answer = browser.get(address)
        assert answer.status_code == 200, address
        assert user == as_web.admin or "Theirs" not in answer.content.decode()


def test_each_role_sees_the_tags_of_its_own_calls(as_web: World) -> None:
    def seen(person: User) -> tuple[set[int], set[int]]:
        """Return the organisations of the registered tags, and those of the rollups by tag."""
        with scoped(person):
            registered = {*TagValue.objects.values_list("org_id", flat=True)}
            return registered, {*DailyTagUsage.objects.filter(grain="tag_cube").values_list("org_id", flat=True)}

    ours, all_ = {as_web.org.pk}, {as_web.org.pk, as_web.other.pk}
    assert seen(as_web.admin) == (all_, all_)
    assert seen(as_web.owner) == (ours, ours)
    assert seen(as_web.member) == (set(), ours)
    with scoped(as_web.admin):
        assert set(DailyTagUsage.objects.filter(grain="tag").values_list("org_id", flat=True)) == {0}


def test_a_superadmin_creates_an_organisation(as_web: World) -> None:
    browser = Client()
    browser.force_login(as_web.admin)
    form: dict[str, Any] = {"name": "New", "slug": "new", "timezone": "Europe/Moscow", "language": "ru"}
    form |= {
        "memberships-TOTAL_FORMS": 1,
        "memberships-INITIAL_FORMS": 0,
        "memberships-0-user": as_web.owner.pk,
        "memberships-0-role": "owner",
    }
    answer = browser.post("/superadmin/usage_billing/organization/add/", form)
    assert answer.status_code == 302, answer.content.decode()
    with within(EVERYTHING):
        assert Organization.objects.get(slug="new").memberships.get().user_id == as_web.owner.pk
    with scoped(as_web.owner) as scope:
        assert len(scope.owned_org_ids) == 2


def test_logging_in_and_out_works(as_web: World) -> None:
    browser = Client()
    answer = browser.post("/login/", {"username": as_web.owner.username, "password": "secret"})
    assert answer.status_code == 302
    assert browser.get("/usage/").status_code == 200
    assert browser.post("/logout/").status_code == 302
    assert browser.get("/usage/").status_code == 302


def test_the_ledger_and_its_commands_work_as_the_drain(as_drain: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert writer.add([event(org=as_drain.org), event(org=None)]) == 2
    call_command("check_usage")
    call_command("rebuild_daily", "--from=2026-11-01", "--to=2026-11-30")
    call_command("reprice_usage", "--from=2026-11-01", "--to=2026-11-30", "--reason=a test")
    call_command("check_usage")
    assert "10 calls" in capsys.readouterr().out
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (roles.DRAIN,)


def reported(number: int, **fields: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    given = {"request_id": f"job-{number}", "provider": "openai", "model": "gpt-4.1-mini", "usage": usage}
    return given | {"time": NOW.isoformat()} | fields


def test_programs_and_people_send_events_as_the_web(as_web: World, outbox: Outbox) -> None:
    with within(EVERYTHING):
        taken = {
            name: service_tokens.create(scope=EVERYTHING, by="boss", name=name, org=org, scopes=["ingest"])[1]
            for name, org in (("own", as_web.org), ("other", as_web.other), ("all", None))
        }
        known, theirs = (
            UsageRecord.objects.filter(org=org).values_list("request_id", flat=True)[0]
            for org in (as_web.org, as_web.other)
        )

    def states(client: APIClient, *events: Any) -> list[str]:
        answer = client.post("/api/billing/usage/events", [*events], format="json")
        assert answer.status_code == 200, answer.content
        return [each["state"] for each in answer.json()["data"]["events"]]

    def program(name: str) -> APIClient:
        return APIClient(headers={"authorization": f"Bearer {taken[name]}"})

    events = [
        reported(1, user=as_web.member.username),
        reported(2, user=as_web.stranger.pk),
        reported(3, request_id=known),
        reported(4, request_id=theirs),
        reported(5, org=as_web.other.slug),
        reported(6, org=as_web.org.slug),
    ]
    assert states(program("own"), *events) == ["taken", "taken", "known", "taken", "refused", "taken"]
    assert states(program("all"), reported(7, org=as_web.other.slug), reported(8)) == ["taken", "taken"]
    assert states(client_of(as_web.owner), reported(9), reported(10, org=as_web.other.pk)) == ["taken", "refused"]
    assert states(client_of(as_web.admin), reported(11, org=as_web.other.pk, request_id=theirs)) == ["known"]
    sent = {event.request_id: event.attribution for event in Recorded(outbox.path).all()}
    assert (sent["job-1"].user_id, sent["job-2"].user_id) == (as_web.member.pk, None)
    assert (sent[theirs].org_id, sent["job-7"].org_id) == (as_web.org.pk, as_web.other.pk)


def test_files_are_imported_as_the_drain(as_drain: World, tmp_path: Path, outbox: Outbox) -> None:
    with within(EVERYTHING):
        known = UsageRecord.objects.filter(org=as_drain.org).values_list("request_id", flat=True)[0]
        slug = Organization.objects.get(pk=as_drain.org.pk).slug
    file = tmp_path / "calls.jsonl"
    events = [reported(1, user=as_drain.member.username), reported(2, request_id=known), reported(3, user=10**6)]
    file.write_text("\n".join(map(json.dumps, events)))
    call_command("import_usage", str(file), "--format=events", f"--org={slug}")
    sent = {event.request_id: event.attribution.user_id for event in Recorded(outbox.path).all()}
    assert sent == {"job-1": as_drain.member.pk, "job-3": 10**6}


def test_the_jobs_work_as_the_drain(as_drain: World) -> None:
    call_command("clearsessions")
    call_command("send_weekly_digests")
    assert client_of(as_drain.owner).get(f"{API}/summary").json()["data"]["all_time"]["requests_count"] == 4
    with within(EVERYTHING):
        assert UsageRecord.objects.count() == 8


def test_an_owner_subscribes_to_the_digest_on_the_account_page(as_web: World) -> None:
    browser = Client()
    browser.force_login(as_web.owner)
    name = f"weekly-digest-{as_web.org.pk}"
    assert f'name="{name}" checked>' in browser.get("/account/").content.decode()
    for chosen, expected in (({}, set()), ({name: "on"}, {as_web.owner.pk})):
        assert browser.post("/account/choices/", chosen).status_code == 302
        with within(of_organization(as_web.org.pk)):
            assert subscribers(as_web.org) == expected


def test_a_superadmin_ends_a_subscription_with_the_membership(as_web: World) -> None:
    with scoped(as_web.admin):
        Membership.objects.get(org=as_web.org, user=as_web.owner).delete()
        assert subscribers(as_web.org) == set()
        assert subscribers(as_web.other) == {as_web.stranger.pk}


def test_calls_wait_in_the_outbox_if_the_web_may_not_drain(
    outbox: Outbox, as_web: World, drained: Callable[[], int]
) -> None:
    """The drain logs this message. `/healthz` and the metrics show how many calls wait."""
    outbox.append(encode(event(org=as_web.org)))
    with pytest.raises(drain.DatabaseAwayError, match=f"log in as {roles.DRAIN}.*USAGE_DRAIN=off"):
        drained()
    assert (outbox.backlog().events, outbox.backlog().rejected) == (1, 0)


def test_django_finds_no_rows_outside_a_scope(as_web: World) -> None:
    assert (UsageRecord.objects.count(), Organization.objects.count()) == (0, 0)
    assert scope_of(as_web.owner).is_empty
    with within(of_organization(as_web.org.pk)) as scope:
        assert UsageRecord.objects.count() == reports.totals(scope)[0]["requests_count"] == 4
    assert UsageRecord.objects.count() == 0


def test_a_nested_scope_restores_the_outer_one(as_drain: World) -> None:
    with within(EVERYTHING):
        with scoped(as_drain.member):
            assert UsageRecord.objects.count() == 2
            writer.add([event(org=as_drain.other)])
            assert UsageRecord.objects.count() == 2
        assert UsageRecord.objects.count() == 9
        with pytest.raises(ZeroDivisionError), scoped(as_drain.owner):
            _ = 4 // (UsageRecord.objects.count() - 4)
        assert UsageRecord.objects.count() == 9
    assert UsageRecord.objects.count() == 0
    # Several roles in one transaction, of which one writes, are for one PostgreSQL alone: our own code has none.
    assert all(note.startswith(statement_watch.TWO_ROLES) for note in statement_watch.taken_notes())


def test_a_call_is_recorded_even_if_its_view_is_rolled_back(as_drain: World) -> None:
    """The drain's thread has its own connection."""

    def drain() -> int:
        try:
            return writer.add([event(org=as_drain.org)])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread, pytest.raises(ZeroDivisionError), scoped(as_drain.owner):
        _ = 1 // (thread.submit(drain).result() - 1)
    with within(EVERYTHING):
        assert UsageRecord.objects.count() == 9


def test_calls_wait_while_the_roles_do_not_exist(
    outbox: Outbox, world: World, drained: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is newer than its database: the drain rejects no event."""
    outbox.append(encode(event(org=world.org)))
    with monkeypatch.context() as patched:
        patched.setattr(roles, "AS_LEDGER", roles.Setting("not_migrated_yet"))
        with pytest.raises(drain.DatabaseAwayError, match="migrate"):
            drained()
    assert (outbox.backlog().events, outbox.backlog().rejected) == (1, 0)
    assert drained() == 1


# ── Round trips ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def far_away(as_web: World) -> Iterator[FarServer]:
    config = connection.settings_dict
    host, port = config["HOST"], config["PORT"]
    with far(host, int(port)) as server:
        config.update(HOST="127.0.0.1", PORT=str(server.port))
        connection.close()
        connection.ensure_connection()
        yield server
        connection.close()
        config.update(HOST=host, PORT=port)


def test_the_scope_costs_one_more_round_trip(as_web: World, far_away: FarServer) -> None:
    """The memberships are read without row-level security too. With it, that query also sends `BEGIN` and the scope."""
    before = far_away.waits
    scope_of(as_web.owner)
    reports.totals(of_organization(as_web.org.pk))
    without = far_away.waits - before
    with scoped(as_web.owner) as scope:
        reports.totals(scope)
    # Memberships and totals; with a scope also `COMMIT`.
    assert (without, far_away.waits - before - without) == (2, 3)


# ── Plans ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def many_calls(world: World) -> None:
    """Add 30,000 calls of 60 organisations, enough for the planner to prefer an index."""
    with connection.cursor() as cursor:
        columns = [name for name in writer.COLUMNS if name not in ("org_id", "request_id", "created_at")]
        cursor.execute(
            "INSERT INTO usage_organization (name, slug, timezone, language, created_at)"
            " SELECT 'o' || n, 'o' || n, 'UTC', 'ru', now() FROM generate_series(1, 60) n"
        )
        cursor.execute(
            f"INSERT INTO token_usage (org_id, request_id, created_at, {', '.join(columns)})"
            f" SELECT o.id, 'many' || o.id || '-' || n, now() - n * interval '1 minute', {', '.join(columns)}"
            " FROM (SELECT * FROM token_usage LIMIT 1) t, usage_organization o, generate_series(1, 500) n"
        )
        cursor.execute("ANALYZE token_usage")


def plan(rows: Any) -> str:
    return str(rows.explain())


def test_the_planner_uses_the_indexes(many_calls: None, as_web: World) -> None:
    with scoped(as_web.owner) as scope:
        assert "idx_token_usage_org_created_at" in plan(reports.calls(scope)[:50])
    with scoped(as_web.member) as scope:
        assert "Index Scan" in plan(reports.calls(scope)[:50])
    with scoped(as_web.admin) as scope:
        assert "idx_token_usage_created_at" in plan(reports.calls(scope)[:50])
    with scoped(as_web.owner) as scope:
        assert "Seq Scan" not in plan(UsageRecord.objects.filter(request_id="many1-1"))


def test_a_page_by_cost_reads_a_few_calls_of_each_day(many_calls: None, as_web: World) -> None:
    """Not all 30,000, as it would to sort them."""
    for user, index in ((as_web.admin, "idx_token_usage_day_cost"), (as_web.owner, "idx_token_usage_org_day_cost")):
        for ordering in ("cost_usd", "-cost_usd"):
            with scoped(user) as scope:
                scans = scans_of_calls(partial(reports.page, scope, ordering=ordering, limit=20))
            assert index in {scan.get("Index Name") for scan in scans}
            assert 0 < sum(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans) < 100


def scans_of_calls(ask: Callable[[], Any]) -> list[dict[str, Any]]:
    """The nodes that read `token_usage` in the executed plans of the statements that `ask` sends."""
    with CaptureQueriesContext(connection) as sent:
        ask()
    nodes = []
    for statement in sent.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement['sql']}")
            ((explained,),) = cursor.fetchone()
        nodes.append(explained["Plan"])
    for node in nodes:
        nodes += node.get("Plans", ())
    return [node for node in nodes if node.get("Relation Name") == "token_usage"]
