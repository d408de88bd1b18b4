"""Alert channels, rules and alerts over HTTP."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django import Settings

from tests.support import budgets, factories, loopback
from tests.support.configure import configure
from tests.support.loopback import Answered
from tests.usage_billing.api.test_budgets import client, refused, sent
from usage_billing.alerts import editing
from usage_billing.api import examples
from usage_billing.models import AlertChannel, AlertDelivery, AlertFiring, AlertRoute, AlertRule, Organization
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db
ALERTS = "/api/billing/alerts"
HOOK = "https://hooks.example.com/T0/B0"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def org() -> Organization:
    return factories.organization("Acme")


def post(person: Any, what: str, body: Any) -> Any:
    return client(person).post(f"{ALERTS}/{what}", body, format="json")


def patch(person: Any, what: str, body: Any) -> Any:
    return client(person).patch(f"{ALERTS}/{what}", body, format="json")


def channel_body(org: Organization | None, **body: Any) -> dict[str, Any]:
    return {"name": "Duty", "org": org and org.slug, "kind": "slack", "target": HOOK, **body}


def rule_body(org: Organization | None, **body: Any) -> dict[str, Any]:
    return {"name": "Errors", "org": org and org.slug, "kind": "errors", "bound": "5", **body}


def channel(org: Organization | None, **fields: Any) -> AlertChannel:
    given = {"name": "Duty", "kind": "webhook", "target": HOOK, "secret": SECRET}
    return AlertChannel.objects.create(org=org, **(given | fields))


# ── Channels ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_channel_is_set_up_changed_and_deleted(org: Organization) -> None:
    owner = factories.owner(org)
    made = sent(post(owner, "channels", channel_body(org)), 201)
    assert made == {
        "id": made["id"],
        "name": "Duty",
        "org": org.slug,
        "kind": "slack",
        "target": "https://hooks.example.com/…",
        "has_secret": True,
        "new_secret": None,
        "language": "",
        "is_active": True,
    }
    address = f"channels/{made['id']}"
    changed = sent(patch(owner, address, {"is_active": False, "language": "ru"}))
    assert changed == made | {"is_active": False, "language": "ru"}
    assert sent(client(owner).get(f"{ALERTS}/{address}")) == changed
    assert sent(client(owner).put(f"{ALERTS}/{address}", made, format="json")) == made
    assert sent(client(owner).get(f"{ALERTS}/channels")) == {"count": 1, "items": [made]}
    assert client(owner).delete(f"{ALERTS}/{address}").status_code == 204
    assert not AlertChannel.objects.exists()


def test_a_secret_is_stored_and_never_answered(org: Organization) -> None:
    owner = factories.owner(org)
    answer = post(owner, "channels", channel_body(org, kind="webhook", secret=SECRET))
    made = sent(answer, 201)
    assert (made["has_secret"], made["new_secret"]) == (True, None)
    assert SECRET not in answer.content.decode()
    assert SECRET not in client(owner).get(f"{ALERTS}/channels").content.decode()
    sent(patch(owner, f"channels/{made['id']}", {"name": "Night"}))
    sent(client(owner).put(f"{ALERTS}/channels/{made['id']}", channel_body(org, kind="webhook"), format="json"))
    assert AlertChannel.objects.get().secret == SECRET


def test_a_secret_that_is_made_up_is_told_once(org: Organization) -> None:
    owner = factories.owner(org)
    made = sent(post(owner, "channels", channel_body(org, kind="webhook")), 201)
    assert made["new_secret"] == AlertChannel.objects.get().secret
    assert sent(client(owner).get(f"{ALERTS}/channels/{made['id']}"))["new_secret"] is None
    again = sent(patch(owner, f"channels/{made['id']}", {"secret": ""}))
    assert again["new_secret"] not in (None, made["new_secret"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"kind": "pigeon"}, "kind"),
        ({"target": "nowhere"}, "target"),
        ({"target": "https://127.0.0.1/x"}, "target"),
        ({"kind": "email"}, "target"),
        ({"kind": "telegram", "target": "5"}, "secret"),
        ({"kind": "webhook", "secret": "short"}, "secret"),
        ({"language": "xx"}, "language"),
        ({"is_active": 1}, "is_active"),
        ({"org": "nowhere"}, "org"),
        ({"tags": {}}, "tags"),
    ],
)
def test_what_is_wrong_with_a_channel_is_told_by_field(org: Organization, body: dict[str, Any], field: str) -> None:
    error = refused(post(factories.owner(org), "channels", channel_body(org) | body), 400)
    assert [*error["details"]] == [field]
    assert not AlertChannel.objects.exists()


def test_names_are_unique_in_the_organisation(org: Organization) -> None:
    boss = factories.superadmin()
    for where in (org, factories.organization(), None):
        sent(post(boss, "channels", channel_body(where)), 201)
        assert [*refused(post(boss, "channels", channel_body(where)), 400)["details"]] == ["name"]
        sent(post(boss, "rules", rule_body(where)), 201)
        assert [*refused(post(boss, "rules", rule_body(where)), 400)["details"]] == ["name"]


def test_a_secret_whose_key_is_gone_hides_no_channel(org: Organization, settings: Settings) -> None:
    owner, found = factories.owner(org), channel(org)
    configure(settings, ENCRYPTION_KEYS=["another"])
    assert sent(client(owner).get(f"{ALERTS}/channels"))["items"][0]["has_secret"] is True
    assert [*refused(patch(owner, f"channels/{found.pk}", {"name": "x"}), 400)["details"]] == ["secret"]
    sent(patch(owner, f"channels/{found.pk}", {"secret": SECRET}))


def test_a_test_is_sent_and_told(org: Organization, settings: Settings) -> None:
    configure(settings, ALERTS_ALLOW_PRIVATE_ADDRESSES=True)
    owner = factories.owner(org)
    with loopback.serving(lambda _: Answered([b""], status=500)) as server:
        found = channel(org, target=server.url, is_active=False)
        (delivery,) = sent(client(owner).post(f"{ALERTS}/channels/{found.pk}/test"))["deliveries"]
    assert json.loads(server.requests[0].body)["type"] == "alert.test"
    assert (delivery["event"], delivery["state"], delivery["channel"]) == ("test", "failed", found.pk)
    assert delivery["problem"] == "The server answered with status 500."
    for person in (factories.member(org), factories.owner(factories.organization())):
        refused(client(person).post(f"{ALERTS}/channels/{found.pk}/test"), 404)
    refused(client(None).post(f"{ALERTS}/channels/{found.pk}/test"), 401)
    assert AlertDelivery.objects.count() == 1


# ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rule_is_set_up_changed_and_deleted(org: Organization) -> None:
    owner, member, duty = factories.owner(org), factories.member(org), channel(org)
    scope = {"tag.feature": "search", "user": [member.pk], "agent_id": ["a", "b"]}
    body = rule_body(org, scope=scope, by="ai_model", step="hour", renotify_hours=24, channels=[duty.pk])
    made = sent(post(owner, "rules", body), 201)
    assert made == {
        **body,
        "id": made["id"],
        "budget": None,
        "scope": scope | {"user": member.pk},
        "is_active": True,
    }
    rule = AlertRule.objects.get()
    assert rule.scope == {"tag.feature": "search", "user_id": member.pk, "agent_id": ["a", "b"]}
    assert AlertRoute.objects.get().org_id == org.pk
    address = f"{ALERTS}/rules/{made['id']}"
    assert sent(client(owner).get(address)) == made
    assert sent(client(owner).put(address, made, format="json")) == made
    changed = sent(patch(owner, f"rules/{made['id']}", {"bound": 7.5, "channels": []}))
    assert changed == made | {"bound": "7.5", "channels": []}
    assert sent(client(owner).get(f"{ALERTS}/rules")) == {"count": 1, "items": [changed]}
    assert client(owner).delete(address).status_code == 204
    assert not AlertRule.objects.exists()


def test_a_rule_watches_a_budget_of_its_organisation(org: Organization) -> None:
    owner, mine, theirs = factories.owner(org), budgets.budget(org), budgets.budget(factories.organization())
    made = sent(post(owner, "rules", rule_body(org, kind="budget_share", bound="90", budget=mine.pk)), 201)
    assert made["budget"] == mine.pk
    for budget in (theirs.pk, 999_999, None):
        body = rule_body(org, name="x", kind="budget_share", bound="90", budget=budget)
        assert [*refused(post(owner, "rules", body), 400)["details"]] == ["budget"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "noise"}, "kind"),
        ({"kind": "backlog"}, "kind"),
        ({"bound": "0"}, "bound"),
        ({"bound": "-1"}, "bound"),
        ({"scope": {"nothing": "x"}}, "scope"),
        ({"scope": {"tag.fea ture": "x"}}, "scope"),
        ({"scope": {"status": "lost"}}, "scope"),
        ({"scope": "all"}, "scope"),
        ({"by": "weather"}, "by"),
        ({"kind": "silence", "by": "ai_model"}, "by"),
        ({"step": "year"}, "step"),
        ({"renotify_hours": 0}, "renotify_hours"),
        ({"channels": [999_999]}, "channels"),
        ({"channels": ["1"]}, "channels"),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_by_field(org: Organization, body: dict[str, Any], field: str) -> None:
    error = refused(post(factories.owner(org), "rules", rule_body(org) | body), 400)
    assert [*error["details"]] == [field]
    assert not AlertRule.objects.exists()


def test_the_kind_of_a_rule_does_not_change(org: Organization) -> None:
    """Its alerts could not be told any more: nobody would see the page of alerts, superadmins neither."""
    owner, budget = factories.owner(org), budgets.budget(org)
    made = sent(post(owner, "rules", rule_body(org)), 201)
    error = refused(patch(owner, f"rules/{made['id']}", {"kind": "budget_share", "budget": budget.pk}), 400)
    assert [*error["details"]] == ["kind"]
    assert sent(client(owner).get(f"{ALERTS}/rules/{made['id']}")) == made


@pytest.mark.parametrize("body", [{"scope": {"agent_id": "b"}}, {"by": "ai_model"}, {"step": "hour"}])
def test_alerts_end_where_a_rule_watches_something_else(org: Organization, body: dict[str, Any]) -> None:
    owner = factories.owner(org)
    made = sent(post(owner, "rules", rule_body(org, scope={"agent_id": "a"})), 201)
    told = AlertFiring.objects.create(org=org, rule_id=made["id"], key="", value=Decimal(9), bound=5)
    sent(patch(owner, f"rules/{made['id']}", {"bound": "6", "name": "Other", "scope": {"agent_id": "a"}}))
    told.refresh_from_db()
    assert told.state == "firing"
    sent(patch(owner, f"rules/{made['id']}", body))
    told.refresh_from_db()
    assert (told.state, told.ended) == ("resolved", "unwatched")
    assert told.resolved_at is not None


def test_a_rule_goes_to_channels_of_its_organisation(org: Organization) -> None:
    theirs = channel(factories.organization())
    error = refused(post(factories.owner(org), "rules", rule_body(org, channels=[theirs.pk])), 400)
    assert [*error["details"]] == ["channels"]


@pytest.mark.parametrize("what", ["channels", "rules"])
def test_whoever_is_second_is_told(org: Organization, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests at once: both have seen that the name is free."""
    owner = factories.owner(org)
    body = channel_body(org) if what == "channels" else rule_body(org)
    sent(post(owner, what, body), 201)
    monkeypatch.setattr(editing, "_check", lambda *_: None)
    error = refused(post(owner, what, body), 400)
    assert error["details"] == {
        "non_field_errors": ["Somebody else has changed this at the same time. Look at it and try again."]
    }


def test_what_was_deleted_meanwhile_does_not_come_back(org: Organization) -> None:
    found, rule = channel(org), AlertRule.objects.create(org=org, name="Errors", kind="errors", bound=5)
    AlertChannel.objects.filter(pk=found.pk).delete()
    AlertRule.objects.filter(pk=rule.pk).delete()
    with pytest.raises(ValidationError):
        editing.save_channel(found, scope=EVERYTHING, values={"name": "x"})
    with pytest.raises(ValidationError):
        editing.save_rule(rule, scope=EVERYTHING, values={"name": "x"})
    assert not AlertChannel.objects.exists()
    assert not AlertRule.objects.exists()


# ── Alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_alerts_are_listed_with_their_deliveries(org: Organization) -> None:
    owner, duty, budget = factories.owner(org), channel(org), budgets.budget(org)
    rule = AlertRule.objects.create(org=org, name="Errors", kind="errors", bound=5)
    told = AlertFiring.objects.create(org=org, rule=rule, key="", value=Decimal("12.5"), bound=5)
    AlertDelivery.objects.create(org=org, firing=told, channel=duty, event="firing", state="waiting", problem="Busy.")
    over = AlertFiring.objects.create(
        org=org,
        budget=budget,
        key="2026-11-01/80",
        bound=80,
        state="resolved",
        ended="below",
        resolved_at=timezone.now(),
    )

    def seen(person: Any, **query: Any) -> list[int]:
        return [item["id"] for item in sent(client(person).get(f"{ALERTS}/firings", query))["items"]]

    assert seen(owner) == [over.pk, told.pk]
    assert seen(owner, state="firing") == seen(owner, rule=rule.pk) == [told.pk]
    assert seen(owner, budget=budget.pk) == [over.pk]
    found = sent(client(owner).get(f"{ALERTS}/firings/{told.pk}"))
    assert (found["value"], found["bound"], found["state"], found["rule"]) == ("12.5", "5", "firing", rule.pk)
    assert [(each["channel"], each["state"], each["problem"]) for each in found["deliveries"]] == [
        (duty.pk, "waiting", "Busy.")
    ]
    for person in (factories.member(org), factories.owner(factories.organization())):
        assert seen(person) == []
        refused(client(person).get(f"{ALERTS}/firings/{told.pk}"), 404)
    assert client(owner).delete(f"{ALERTS}/firings/{told.pk}").status_code == 405


# ── Who may do what ──────────────────────────────────────────────────────────────────────────────────────────────


def test_errors_of_the_schema_are_the_apis(org: Organization) -> None:
    owner, member = factories.owner(org), factories.member(org)
    shown = {
        "NO_CHANNEL": client(owner).get(f"{ALERTS}/channels/999999"),
        "NO_RULE": client(owner).get(f"{ALERTS}/rules/999999"),
        "NO_FIRING": client(owner).get(f"{ALERTS}/firings/999999"),
        "WRONG_TARGET": post(owner, "channels", channel_body(org, target="nowhere")),
        "WRONG_BOUND": post(owner, "rules", rule_body(org, bound="0")),
        "NOT_AN_OWNER_OF_ALERTS": post(member, "rules", rule_body(org)),
    }
    assert {name: answer.json() for name, answer in shown.items()} == {name: getattr(examples, name) for name in shown}


def test_members_and_other_tenants_see_and_set_up_nothing(org: Organization) -> None:
    found = {"channels": channel(org), "rules": AlertRule.objects.create(org=org, name="x", kind="errors", bound=5)}
    bodies = {"channels": channel_body(org, name="y"), "rules": rule_body(org, name="y")}
    member, stranger = factories.member(org), factories.owner(factories.organization())
    for what, row in found.items():
        for person in (member, stranger):
            assert sent(client(person).get(f"{ALERTS}/{what}")) == {"count": 0, "items": []}
            for method in ("get", "patch", "put", "delete"):
                refused(getattr(client(person), method)(f"{ALERTS}/{what}/{row.pk}", {}, format="json"), 404)
        assert refused(post(member, what, bodies[what]), 403)["code"] == "not_an_owner"
        assert [*refused(post(stranger, what, bodies[what]), 400)["details"]] == ["org"]
        refused(client(None).get(f"{ALERTS}/{what}"), 401)
    assert (AlertChannel.objects.count(), AlertRule.objects.count()) == (1, 1)


def test_alerts_of_the_installation_are_superadmins(org: Organization) -> None:
    owner, boss = factories.owner(org), factories.superadmin()
    for what, body in (("channels", channel_body(None)), ("rules", rule_body(None))):
        assert refused(post(owner, what, body), 403)["code"] == "not_a_superadmin"
        made = sent(post(boss, what, body), 201)
        assert made["org"] is None
        refused(client(owner).get(f"{ALERTS}/{what}/{made['id']}"), 404)
        assert [*refused(patch(boss, f"{what}/{made['id']}", {"org": org.pk}), 400)["details"]] == ["org"]
        assert sent(client(boss).get(f"{ALERTS}/{what}", {"org": org.pk}))["count"] == 0
    sent(post(boss, "rules", rule_body(None, name="backlog", kind="backlog", bound="1000")), 201)
