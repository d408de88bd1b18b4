"""What each kind of channel sends, and how it takes refusals: real SMTP, real HTTP on loopback."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.support import loopback
from tests.support.configure import configure
from tests.support.factories import NOON
from tests.support.loopback import Answered
from tests.support.mail_server import MailServer
from tests.usage_billing.alerts.conftest import SECRET, budget, calls, channel
from usage_billing import alerts
from usage_billing.alerts import check_all, editing, links, send_due, slack_channel, webhook_channel
from usage_billing.alerts.messages import Message
from usage_billing.models import AlertChannel, AlertDelivery, Organization
from usage_billing.tenancy.scope import EVERYTHING

TOKEN = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
OK = Answered([b"ok"])


@pytest.fixture
def crossed(org: Organization) -> Organization:
    """The budget of November is over 50 %."""
    org.language = "en"
    org.save()
    budget(org, "0.001", name="<November> & co", thresholds=[50])
    calls(org)
    return org


def sent() -> AlertDelivery:
    """Raise the alert and send its only message."""
    check_all(NOON)
    (delivery,) = send_due()
    return AlertDelivery.objects.get(pk=delivery.pk)


# ── E-mail ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_email_of_text_and_html(
    crossed: Organization, mail: MailServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(settings, PUBLIC_URL="https://costs.example.com")
    monkeypatch.setattr(links, "page_sources", [lambda firing: f"/usage/alerts?{'all' if firing is None else 'one'}"])
    channel(crossed, "olga@example.com", kind="email")
    delivery = sent()
    assert (delivery.state, delivery.attempts, delivery.problem) == ("sent", 1, "")
    (((address,), message),) = mail.received
    assert address == "olga@example.com"
    assert message["Subject"].strip() == "Северный ветер: “<November> & co” has reached 50%"
    assert message["Message-ID"] == f"<alert.{delivery.message_id}@example.com>"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().splitlines()[0] == "Spent $0.00056 of $0.001 (56%), November 2026."
    assert "https://costs.example.com/usage/alerts?one" in plain.get_content()
    assert "&lt;November&gt; &amp; co" in html.get_content()
    assert "<November>" not in html.get_content()


def test_each_address_is_tried_and_noted_by_itself(crossed: Organization, mail: MailServer) -> None:
    mail.refused.add("gone@example.com")
    channel(crossed, "olga@example.com, gone@example.com", kind="email")
    check_all(NOON)
    send_due()
    found = {each.recipient: (each.state, each.problem) for each in AlertDelivery.objects.all()}
    assert found == {
        "olga@example.com": ("sent", ""),
        "gone@example.com": ("failed", "The mail server refuses the address gone@example.com (code 550)."),
    }
    assert mail.recipients == ["olga@example.com"]


def test_a_mail_server_that_is_away_gets_it_later(crossed: Organization, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    channel(crossed, "olga@example.com", kind="email")
    delivery = sent()
    assert (delivery.state, delivery.attempts) == ("waiting", 1)
    assert delivery.problem.startswith("The mail server did not take the message")


# ── Slack ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_names_are_no_links_and_wake_nobody() -> None:
    """Mattermost and others read Markdown."""
    title = "@all [pay](https://evil.example)"
    body = slack_channel._body(Message(title, (title,), "https://costs.example.com/usage", "en", {}))
    for text in (body["text"], body["blocks"][1]["text"]["text"]):
        assert "@all" not in text
        assert "](" not in text
    assert body["text"].endswith("\n<https://costs.example.com/usage>")


@pytest.mark.usefixtures("private_allowed")
def test_slack(crossed: Organization) -> None:
    with loopback.serving(lambda _: OK) as server:
        channel(crossed, f"{server.url}/services/T/B/x", kind="slack", secret="")
        assert sent().state == "sent"
    body = json.loads(server.requests[0].body)
    assert body["text"].startswith("*Северный ветер: “&lt;November&gt; &amp; co” has reached 50%*\nSpent $0.00056")
    header, section = body["blocks"]
    assert header["text"]["text"] == "Северный ветер: “<November> & co” has reached 50%"
    assert section["text"]["text"].startswith("Spent $0.00056 of $0.001 (56%)")


@pytest.mark.usefixtures("private_allowed")
def test_slacks_address_is_a_secret(crossed: Organization) -> None:
    """Whoever knows the address may write into the chat: it is shown to nobody, and encrypted."""
    with loopback.serving(lambda _: OK) as server:
        made = AlertChannel(org=crossed, kind="slack")
        values = {"name": "Duty", "target": f"{server.url}/services/T/B/x"}
        editing.save_channel(made, scope=EVERYTHING, values=values)
        assert made.target == f"{server.url}/…"
        editing.save_channel(made, scope=EVERYTHING, values={"name": "Night duty", "target": made.target})
        assert sent().state == "sent"
        assert server.requests[-1].path == "/services/T/B/x"
        editing.save_channel(made, scope=EVERYTHING, values={"target": f"{server.url}/services/T/B/y"})
    made.refresh_from_db()
    assert (made.target, made.secret) == (f"{server.url}/…", f"{server.url}/services/T/B/y")


def test_a_private_address_is_refused_for_good(crossed: Organization) -> None:
    with loopback.serving(lambda _: OK) as server:
        channel(crossed, server.url, kind="slack", secret="")
        delivery = sent()
    assert (delivery.state, server.requests) == ("failed", [])
    assert "ALERTS_ALLOW_PRIVATE_ADDRESSES" in delivery.problem


# ── Telegram ─────────────────────────────────────────────────────────────────────────────────────────────────────


def telegram(answer: Any, crossed: Organization, settings: Settings, status: int = 200) -> tuple[AlertDelivery, Any]:
    with loopback.serving(lambda _: loopback.of_json(answer, status)) as server:
        configure(settings, TELEGRAM_URL=server.url)
        channel(crossed, "-1001", kind="telegram", secret=TOKEN)
        return sent(), server.requests[0]


def test_telegram(crossed: Organization, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    delivery, received = telegram({"ok": True, "result": {}}, crossed, settings)
    assert delivery.state == "sent"
    assert received.path == f"/bot{TOKEN}/sendMessage"
    body = json.loads(received.body)
    assert body["chat_id"] == "-1001"
    assert body["text"].startswith("Северный ветер: “<November> & co” has reached 50%\nSpent $0.00056")
    assert "parse_mode" not in body, "names of people are no markup"
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("status", "answer", "state", "problem"),
    [
        (400, {"ok": False, "description": "Bad Request: chat not found"}, "failed", "chat not found"),
        (401, {"ok": False, "description": "Unauthorized"}, "failed", "Unauthorized"),
        (500, {"ok": False}, "waiting", "500"),
        (200, {"no": "telegram"}, "waiting", "TELEGRAM_URL"),
    ],
)
def test_telegram_refuses(
    crossed: Organization, settings: Settings, status: int, answer: Any, state: str, problem: str
) -> None:
    delivery, _ = telegram(answer, crossed, settings, status)
    assert delivery.state == state
    assert problem in delivery.problem
    assert TOKEN not in delivery.problem


def test_telegram_asks_to_wait(crossed: Organization, settings: Settings) -> None:
    answer = {"ok": False, "parameters": {"retry_after": 3600}}
    delivery, _ = telegram(answer, crossed, settings, 429)
    assert delivery.state == "waiting"
    assert delivery.next_attempt_at > timezone.now() + timedelta(minutes=59)


# ── Signed webhooks ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_signature_is_that_of_the_specification() -> None:
    """The values are those of the library `standardwebhooks` 1.1.0."""
    found = webhook_channel.signature(
        webhook_channel.key_of(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.usefixtures("private_allowed")
def test_a_webhook_is_signed_and_its_id_stays(crossed: Organization) -> None:
    answers = iter([Answered([b""], status=500), OK])
    with loopback.serving(lambda _: next(answers)) as server:
        channel(crossed, server.url)
        assert sent().state == "waiting"
        AlertDelivery.objects.update(next_attempt_at=timezone.now())
        send_due()
    assert AlertDelivery.objects.get().state == "sent"
    first, second = server.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    for each in (first, second):
        key, stamp = webhook_channel.key_of(SECRET), int(each.headers["webhook-timestamp"])
        expected = webhook_channel.signature(key, each.headers["webhook-id"], stamp, each.body)
        assert each.headers["webhook-signature"] == expected
    assert json.loads(first.body)["data"]["value"] == "0.00056"


@pytest.mark.usefixtures("private_allowed")
def test_the_body_of_a_webhook(crossed: Organization) -> None:
    with loopback.serving(lambda _: OK) as server:
        channel(crossed, server.url)
        sent()
    body = json.loads(server.requests[0].body)
    data = body["data"]
    assert {*body} == {"type", "timestamp", "data"}
    assert body["type"] == "alert.firing"
    assert (data["org"], data["state"], data["kind"]) == (crossed.slug, "firing", "budget_share")
    assert (data["key"], data["unit"], data["bound"]) == ("2026-11-01/50", "usd", "0.0005")
    assert data["budget"]["name"] == "<November> & co"
    assert (data["rule"], data["resolved_at"], data["ended"]) == (None, None, None)


@pytest.mark.usefixtures("private_allowed")
@pytest.mark.parametrize("secret", ["", "text", "whsec_", "whsec_!!!", "whsec_c2hvcnQ="])
def test_without_a_proper_secret_nothing_is_sent(crossed: Organization, secret: str) -> None:
    with loopback.serving(lambda _: OK) as server:
        channel(crossed, server.url, secret=secret)
        delivery = sent()
    assert (delivery.state, server.requests) == ("failed", [])
    assert "secret is missing or wrong" in delivery.problem


def test_a_new_secret_is_a_proper_one() -> None:
    assert len(webhook_channel.key_of(webhook_channel.new_secret())) == 32
    assert webhook_channel.new_secret() != webhook_channel.new_secret()


@pytest.mark.usefixtures("private_allowed")
def test_a_secret_that_cannot_be_decrypted_waits_for_a_process_that_can(
    crossed: Organization, settings: Settings
) -> None:
    with loopback.serving(lambda _: OK) as server:
        configure(settings, ENCRYPTION_KEYS=["one"])
        channel(crossed, server.url)
        configure(settings, ENCRYPTION_KEYS=["two"])
        delivery = sent()
    assert (delivery.state, server.requests) == ("waiting", [])
    assert "encrypted with another key" in delivery.problem


# ── Tests by a person ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("private_allowed")
def test_the_test_button(org: Organization, mail: MailServer) -> None:
    with loopback.serving(lambda _: OK) as server:
        (delivery,) = alerts.send_test(channel(org, server.url))
    assert (delivery.state, delivery.event, delivery.firing) == ("sent", "test", None)
    assert json.loads(server.requests[0].body)["type"] == "alert.test"
    found = alerts.send_test(channel(org, "a@example.com,b@example.com", name="Mail", kind="email", is_active=False))
    assert {each.state for each in found} == {"sent"}
    assert mail.recipients == ["a@example.com", "b@example.com"]


@pytest.mark.usefixtures("private_allowed")
def test_a_test_that_fails_is_not_tried_again(org: Organization) -> None:
    with loopback.serving(lambda _: Answered([b""], status=500)) as server:
        (delivery,) = alerts.send_test(channel(org, server.url))
        assert (delivery.state, delivery.problem) == ("failed", "The server answered with status 500.")
        assert send_due() == []
    assert len(server.requests) == 1
    assert AlertDelivery.objects.get().state == "failed"


def test_kinds_are_all_sent() -> None:
    assert {*AlertChannel.Kind.values} == {"email", "slack", "telegram", "webhook"}
