"""The page of alerts: who sees it, rules and channels, the test of a channel, and the log of deliveries."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from tests.support.rows import NOON, enter, row
from usage_billing.alerts import links
from usage_billing.models import AlertChannel, AlertDelivery, AlertFiring, AlertRoute, AlertRule, Budget, Organization
from usage_billing.pages.alerts import page_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_noon")]

OWN, SUPERADMIN = "/usage/alerts", "/superadmin/ai-costs/alerts"
NOTICE = re.compile(r'<p class="notice"[^>]*>(.*?)</p>')
TOKEN = "123456789:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def html(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, (address, answer.status_code)
    return unescape(answer.content.decode())


def notices(client: Client, address: str) -> list[str]:
    return [unescape(text) for text in NOTICE.findall(client.get(address).content.decode())]


def channel(org: Organization | None, name: str = "Mail", **fields: Any) -> AlertChannel:
    return AlertChannel.objects.create(org=org, name=name, **{"kind": "email", "target": "a@example.com", **fields})


def rule(org: Organization | None, name: str = "Errors", **fields: Any) -> AlertRule:
    return AlertRule.objects.create(org=org, name=name, **{"kind": "errors", "bound": Decimal(5), **fields})


@pytest.fixture
def olga(owner_of: Callable[..., Client], acme: Organization) -> Client:
    return owner_of(acme)


@pytest.fixture
def misha(member_of: Callable[..., Client], acme: Organization) -> Client:
    return member_of(acme)


# ── The page ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_anything_the_page_says_what_happens_then(olga: Client) -> None:
    text = html(olga, OWN)
    for said in ("Nothing fires.", "No rules yet", "No channels yet: alerts go to the owners by e-mail."):
        assert said in text
    assert (f'href="{OWN}/rules/new"' in text, f'href="{OWN}/channels/new"' in text) == (True, True)


def test_member_learns_that_alerts_are_for_owners(misha: Client, acme: Organization) -> None:
    rule(acme, "Hidden rule")
    channel(acme, "Hidden channel", target="https://hooks.example/secret")
    text = html(misha, OWN)
    assert "Alerts go to the owners" in text
    assert "Hidden" not in text
    assert f'href="{OWN}"' not in html(misha, "/usage/calls")  # not in the sidebar


def test_page_shows_what_fires_what_is_over_and_how_it_was_delivered(olga: Client, acme: Organization) -> None:
    made = Budget.objects.create(org=acme, name="May", limit=Decimal(100), starts_on=NOON.date())
    hook = channel(acme, "Hook", kind="slack", target="https://hooks.example/x")
    firing = AlertFiring.objects.create(
        org=acme, budget=made, key="2026-05-01/80", value=Decimal("81.5"), bound=Decimal(80), began_at=NOON
    )
    over = AlertFiring.objects.create(
        org=acme, rule=rule(acme), key="", value=Decimal(12), bound=Decimal(5), state="resolved", ended="below",
        began_at=NOON - timedelta(days=2), resolved_at=NOON - timedelta(days=1),
    )  # fmt: skip
    AlertDelivery.objects.create(
        org=acme, firing=firing, channel=hook, event="firing", attempts=3, problem="Status 503.",
        next_attempt_at=NOON + timedelta(minutes=30),
    )  # fmt: skip
    AlertDelivery.objects.create(org=acme, firing=over, channel=hook, event="resolved", state="sent", sent_at=NOON)
    text = html(olga, OWN)
    now = text[text.index('id="firing"') : text.index('id="rules"')]
    assert "“May” has reached 80%" in now
    assert f'href="/usage/budgets/{made.pk}"' in now
    history = text[text.index('id="resolved"') :]
    assert "“Errors”: calls fail" in history
    assert "it is below again" in history
    log = text[text.index('id="deliveries"') : text.index('id="resolved"')]
    assert "Status 503." in log
    assert "next attempt 20 May 2026 15:30" in log
    assert sorted(re.findall(r'<span class="status[^"]*">(\w+)</span>', log)) == ["sent", "waiting"]


def test_another_organisations_alerts_are_not_there(olga: Client, globex: Organization) -> None:
    theirs, target = rule(globex, "Globex rule"), channel(globex, "Globex channel")
    AlertFiring.objects.create(org=globex, rule=theirs, key="", value=Decimal(7), bound=Decimal(5))
    channel(None, "Globex installation")
    assert "Globex" not in html(olga, f"{OWN}?org={globex.pk}")
    for address in (f"rules/{theirs.pk}", f"channels/{target.pk}"):
        assert "Globex" not in html(olga, f"{OWN}/{address}", 404)
        assert olga.post(f"{OWN}/{address}", {"name": "x"}).status_code == 404
        assert olga.post(f"{OWN}/{address}/delete").status_code == 404
    assert olga.post(f"{OWN}/channels/{target.pk}/test").status_code == 404
    assert (AlertRule.objects.count(), AlertChannel.objects.count(), AlertDelivery.objects.count()) == (1, 2, 0)


def test_superadmin_sees_all_and_narrows_to_one_organisation(
    superadmin: Client, acme: Organization, globex: Organization
) -> None:
    rule(acme, "Ours")
    rule(globex, "Theirs")
    rule(None, "Everywhere", kind="backlog", bound=Decimal(100))
    text = html(superadmin, SUPERADMIN)
    assert [name in text for name in ("Ours", "Theirs", "Everywhere")] == [True, True, True]
    narrowed = html(superadmin, f"{SUPERADMIN}?org={acme.pk}")
    assert [name in narrowed for name in ("Ours", "Theirs", "Everywhere")] == [True, False, False]


def test_page_asks_as_many_questions_for_more_alerts(
    olga: Client, acme: Organization, django_assert_max_num_queries: Any
) -> None:
    made = Budget.objects.create(org=acme, name="May", limit=Decimal(100), starts_on=NOON.date())
    hook = channel(acme)
    for number in range(12):
        each = rule(acme, f"Rule {number}")
        AlertRoute.objects.create(org=acme, rule=each, channel=hook)
        firing = AlertFiring.objects.create(org=acme, rule=each, key="", value=Decimal(7), bound=Decimal(5))
        AlertDelivery.objects.create(org=acme, firing=firing, channel=hook, event="firing")
        AlertFiring.objects.create(org=acme, budget=made, key=f"2026-05-01/{number + 1}", bound=Decimal(1))
    with django_assert_max_num_queries(20):
        html(olga, OWN)


# ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_kind_is_chosen_first_and_the_form_has_its_fields_alone(olga: Client, acme: Organization) -> None:
    text = html(olga, f"{OWN}/rules/new")
    kinds = re.findall(r'name="kind" value="(\w+)"', text)
    assert kinds == ["budget_share", "forecast", "spend", "unpriced", "errors", "p95_time", "silence"]
    fields = {kind: set(re.findall(r' name="(\w+)"', html(olga, f"{OWN}/rules/new?kind={kind}"))) for kind in kinds}
    assert "budget" in fields["forecast"]
    assert "step" not in fields["forecast"] | fields["silence"]
    assert {"step", "by", "agent_id", "tag_key"} <= fields["errors"]
    assert "budget" not in fields["errors"]


def test_owner_sets_changes_and_deletes_a_rule(olga: Client, acme: Organization) -> None:
    hook = channel(acme)
    answer = olga.post(
        f"{OWN}/rules/new?kind=errors",
        {
            "name": "Many errors", "bound": "12.5", "step": "hour", "by": "ai_model", "agent_id": "scout",
            "tag_key": "team", "tag_value": "web", "renotify_hours": "6", "channels": [hook.pk], "is_active": "on",
        },
    )  # fmt: skip
    assert notices(olga, answer["Location"]) == ["The rule “Many errors” is set."]
    made = AlertRule.objects.get()
    assert (made.org_id, made.kind, made.bound, made.step, made.by) == (
        acme.pk,
        "errors",
        Decimal("12.5"),
        "hour",
        "ai_model",
    )
    assert made.scope == {"agent_id": "scout", "tag.team": "web"}
    assert (made.renotify_hours, [*made.channels.all()]) == (6, [hook])
    text = html(olga, OWN)
    assert "12.5%, an hour, each model by itself, Agent: scout, Tag team: web" in text
    form = html(olga, f"{OWN}/rules/{made.pk}")
    assert f'value="{hook.pk}" id="id_channels_0" checked' in form
    olga.post(f"{OWN}/rules/{made.pk}", {"name": "Few errors", "bound": "3", "step": "day"})
    made.refresh_from_db()
    assert (made.name, made.bound, made.scope, made.is_active) == ("Few errors", 3, {}, False)
    assert not made.channels.exists()
    assert "Delete the rule “Few errors”?" in html(olga, f"{OWN}/rules/{made.pk}/delete")
    olga.post(f"{OWN}/rules/{made.pk}/delete")
    assert not AlertRule.objects.exists()


def test_rule_of_a_budget(olga: Client, acme: Organization, globex: Organization) -> None:
    ours = Budget.objects.create(org=acme, name="May", limit=Decimal(100), starts_on=NOON.date())
    theirs = Budget.objects.create(org=globex, name="Globex", limit=Decimal(100), starts_on=NOON.date())
    address = f"{OWN}/rules/new?kind=budget_share"
    assert "Globex" not in html(olga, address)
    olga.post(address, {"name": "x", "bound": "90", "budget": theirs.pk})
    assert not AlertRule.objects.exists()
    olga.post(address, {"name": "x", "bound": "90", "budget": ours.pk, "is_active": "on"})
    assert AlertRule.objects.get().budget == ours


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"bound": "0"}, "Write a number above zero."),
        ({"bound": "-1"}, "Ensure this value is greater than or equal to 0."),
        ({"name": "Errors"}, "There is one of this name already."),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(olga: Client, acme: Organization, fields: dict[str, str], said: str) -> None:
    rule(acme)
    given = {"name": "New", "bound": "5", "step": "day"} | fields
    assert said in unescape(olga.post(f"{OWN}/rules/new?kind=errors", given).content.decode())
    assert AlertRule.objects.count() == 1


def test_superadmin_sets_a_rule_of_the_installation(superadmin: Client, acme: Organization) -> None:
    text = html(superadmin, f"{SUPERADMIN}/rules/new")
    assert "The installation" in text
    address = f"{SUPERADMIN}/rules/new?kind=backlog&org=installation"
    superadmin.post(address, {"name": "Outbox", "bound": "1000", "is_active": "on"})
    made = AlertRule.objects.get()
    assert (made.org_id, made.kind, made.bound) == (None, "backlog", 1000)
    superadmin.post(f"{SUPERADMIN}/rules/new?kind=silence&org={acme.pk}", {"name": "Silence", "bound": "24"})
    assert AlertRule.objects.get(name="Silence").org == acme


def test_owner_sets_no_rule_of_the_installation(olga: Client, acme: Organization, globex: Organization) -> None:
    for org in ("installation", globex.pk):
        olga.post(f"{OWN}/rules/new?kind=errors&org={org}", {"name": f"x {org}", "bound": "5", "step": "day"})
    assert {each.org_id for each in AlertRule.objects.all()} <= {acme.pk}


# ── Channels ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_owner_sets_up_a_telegram_channel_whose_token_is_never_shown(olga: Client, acme: Organization) -> None:
    given = {"name": "Chat", "target": "-1001234567890", "secret": TOKEN, "language": "ru", "is_active": "on"}
    answer = olga.post(f"{OWN}/channels/new?kind=telegram", given)
    assert answer.status_code == 302, unescape(answer.content.decode())
    made = AlertChannel.objects.get()
    assert (made.org_id, made.secret, made.language) == (acme.pk, TOKEN, "ru")
    for address in (OWN, f"{OWN}/channels/{made.pk}"):
        assert TOKEN not in html(olga, address)
    assert "with a secret" in html(olga, OWN)
    assert "There is one already; it is not shown." in html(olga, f"{OWN}/channels/{made.pk}")
    olga.post(f"{OWN}/channels/{made.pk}", {**given, "secret": "", "name": "Chat 2"})
    made = AlertChannel.objects.get()
    assert (made.name, made.secret) == ("Chat 2", TOKEN)


def test_key_of_a_webhook_is_made_up_and_shown_once(olga: Client) -> None:
    answer = olga.post(f"{OWN}/channels/new?kind=webhook", {"name": "Hook", "target": "https://example.com/hook"})
    secret = AlertChannel.objects.get().secret
    assert secret.startswith("whsec_")
    assert any(secret in text for text in notices(olga, answer["Location"]))
    assert secret not in html(olga, OWN)


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        ("email", "nobody", "“nobody” is no e-mail address."),
        ("slack", "ftp://example.com", "Write an address such as https://example.com/hook"),
        ("slack", "http://127.0.0.1/hook", "This is a private address."),
        ("telegram", "chat!", "Write the chat's number"),
    ],
)
def test_what_is_wrong_with_a_channel_is_said(olga: Client, kind: str, target: str, said: str) -> None:
    answer = olga.post(f"{OWN}/channels/new?kind={kind}", {"name": "x", "target": target, "secret": TOKEN})
    assert said in unescape(answer.content.decode())
    assert not AlertChannel.objects.exists()


def test_deleting_a_channel_is_asked_once_more(olga: Client, acme: Organization) -> None:
    made = channel(acme)
    assert "Delete the channel “Mail”?" in html(olga, f"{OWN}/channels/{made.pk}/delete")
    olga.post(f"{OWN}/channels/{made.pk}/delete")
    assert not AlertChannel.objects.exists()


@pytest.mark.parametrize("what", ["rules", "channels", "budgets"])
def test_what_is_deleted_takes_its_alerts_along(olga: Client, acme: Organization, what: str) -> None:
    """On PostgreSQL the web's role needs the right to."""
    hook, made = channel(acme), rule(acme)
    budget = Budget.objects.create(org=acme, name="May", limit=Decimal(100), starts_on=NOON.date())
    AlertRoute.objects.create(org=acme, rule=made, channel=hook)
    for given in ({"rule": made}, {"budget": budget}):
        firing = AlertFiring.objects.create(org=acme, key="2026-05-01/80", bound=Decimal(5), **given)
        AlertDelivery.objects.create(org=acme, firing=firing, channel=hook, event="firing")
    row_id = {"rules": made.pk, "channels": hook.pk, "budgets": budget.pk}[what]
    base = "/usage" if what == "budgets" else OWN
    assert olga.post(f"{base}/{what}/{row_id}/delete").status_code == 302
    left = AlertFiring.objects.count(), AlertDelivery.objects.count(), AlertRoute.objects.count()
    assert left == {"rules": (1, 1, 0), "channels": (2, 0, 0), "budgets": (1, 1, 1)}[what]


@pytest.mark.django_db(transaction=True)
def test_test_of_a_channel_says_what_came_of_it(olga: Client, acme: Organization) -> None:
    made = channel(acme, target="a@example.com, b@example.com")
    answer = olga.post(f"{OWN}/channels/{made.pk}/test")
    assert notices(olga, answer["Location"]) == [
        "The test was sent to “a@example.com”.",
        "The test was sent to “b@example.com”.",
    ]
    assert [message.to for message in mail.outbox] == [["a@example.com"], ["b@example.com"]]
    assert {each.state for each in AlertDelivery.objects.all()} == {"sent"}
    dead = channel(acme, "Dead", kind="slack", target="https://127.0.0.1:9/hook")
    (said,) = notices(olga, olga.post(f"{OWN}/channels/{dead.pk}/test")["Location"])
    assert said.startswith("The test did not reach “Dead”: ")
    problem = AlertDelivery.objects.get(channel=dead).problem
    assert problem
    assert problem in said
    assert problem in html(olga, OWN)


def test_opening_the_address_of_a_test_sends_none(olga: Client, acme: Organization) -> None:
    assert olga.get(f"{OWN}/channels/{channel(acme).pk}/test").status_code == 302
    assert not AlertDelivery.objects.exists()


def test_member_sets_up_nothing(misha: Client, acme: Organization) -> None:
    made, target = rule(acme), channel(acme)
    for address in ("rules/new?kind=errors", "channels/new?kind=email"):
        assert misha.post(f"{OWN}/{address}", {"name": "x", "bound": "5", "target": "a@b.example"}).status_code == 403
    for address in (f"rules/{made.pk}", f"channels/{target.pk}", f"channels/{target.pk}/test"):
        assert misha.post(f"{OWN}/{address}", {"name": "x"}).status_code == 404
    assert (AlertRule.objects.get().name, AlertChannel.objects.get().name) == ("Errors", "Mail")


def test_forms_need_the_token(acme: Organization, olga: Client) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="olga"))
    target = channel(acme)
    for address in ("rules/new?kind=errors", f"channels/{target.pk}/delete", f"channels/{target.pk}/test"):
        assert client.post(f"{OWN}/{address}", {"name": "x", "bound": "5"}).status_code == 403
    assert (AlertRule.objects.count(), AlertChannel.objects.count()) == (0, 1)


# ── Elsewhere ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_overview_names_what_fires(olga: Client, acme: Organization) -> None:
    enter(row(acme))
    made = rule(acme)
    AlertFiring.objects.create(org=acme, rule=made, key="", value=Decimal(50), bound=Decimal(5), began_at=NOON)
    text = html(olga, "/usage/")
    assert "“Errors”: calls fail" in text
    assert f'href="{OWN}"' in text


def test_messages_link_to_the_page_of_their_alert(acme: Organization, settings: Any) -> None:
    made = Budget.objects.create(org=acme, name="May", limit=Decimal(100), starts_on=NOON.date())
    of_budget = AlertFiring(org=acme, budget=made, key="2026-05-01/80")
    of_rule = AlertFiring(org=acme, rule=rule(acme), key="")
    assert [page_of(of_budget), page_of(of_rule), page_of(None)] == [f"/usage/budgets/{made.pk}", OWN, OWN]
    settings.AI_COSTS = {**settings.AI_COSTS, "PUBLIC_URL": "https://costs.example"}
    assert links.address_of(of_budget) == f"https://costs.example/usage/budgets/{made.pk}"
