"""One digest to each owner once: over real SMTP, whatever breaks in between."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail as django_mail
from django.db import connection, connections
from django.utils import timezone
from pytest_django import Settings

from ai_clients.assistants.digest import delivery
from ai_clients.assistants.digest.delivery import (
    CLAIM_FOR,
    DeliveryError,
    Outcome,
    claim,
    send_digest,
)
from ai_clients.assistants.digest.email import message_to
from ai_clients.assistants.digest.summary import write_summary
from ai_clients.assistants.digest.week import last_full_week
from ai_clients.assistants.models import DigestDelivery
from tests.ai_clients.assistants.digest.conftest import MONDAY, owner
from tests.support import factories, people
from tests.support.configure import configure
from tests.support.mail_server import MailServer
from tests.support.recorded import Recorded
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db

WORDS = {"headline": "Расходы выросли.", "observations": ["Почти всё — trend_report."]}


def part(message: EmailMessage, kind: str) -> EmailMessage:
    (found,) = [one for one in message.walk() if one.get_content_type() == kind]
    assert isinstance(found, EmailMessage)
    return found


def test_each_owner_gets_one_whole_email(
    org: Organization,
    owners: list[User],
    mail: MailServer,
    simulated: dict[str, str],
    recorded: Recorded,
    settings: Settings,
) -> None:
    configure(settings, PUBLIC_URL="https://costs.example.com")
    simulated["X-Simulator-Text"] = people.answer(**WORDS)
    factories.member(org)
    assert send_digest(org.pk, MONDAY) is Outcome.SENT
    assert mail.recipients == ["olga@example.com", "petr@example.com"]

    for person, (recipients, message) in zip(owners, mail.received, strict=True):
        assert recipients == [message["To"]] == [person.email]
        assert message["From"] == "Расходы на ИИ <costs@example.com>"
        # A long subject begins on a line of its own.
        assert message["Subject"].strip().startswith("Северный ветер: ")
        assert "16–22 ноября 2026" in message["Subject"]
        assert message["Message-ID"] == f"<weekly-digest.{org.pk}.2026-11-16.{person.pk}@example.com>"
        assert (message["Auto-Submitted"], message["Content-Language"]) == ("auto-generated", "ru")
        assert message["List-Unsubscribe"] == "<https://costs.example.com/account/#e-mails>"
        assert [one.get_content_type() for one in message.walk()] == [
            "multipart/related",
            "multipart/alternative",
            "text/plain",
            "text/html",
            "image/png",
        ]
        picture = part(message, "image/png")
        assert (picture["Content-ID"], picture.get_content_disposition()) == ("<chart@weekly-digest>", "inline")
        assert picture.get_content().startswith(b"\x89PNG")
        assert "cid:chart@weekly-digest" in part(message, "text/html").get_content()
        for text in ("text/plain", "text/html"):
            content = part(message, text).get_content()
            assert "Расходы выросли." in content
            assert "0,0896\u00a0₽" in content
    assert len(recorded.all()) == 1  # one summary for all of them


def test_it_goes_out_once_a_week_however_often_it_is_asked_for(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str], recorded: Recorded
) -> None:
    assert [send_digest(org.pk, MONDAY + timedelta(days=day)) for day in (0, 0, 3, 6)] == [
        Outcome.SENT,
        *[Outcome.ALREADY] * 3,
    ]
    assert (len(mail.received), len(recorded.all())) == (2, 1)
    # By the next Monday another week has ended, without calls. Its digest needs no model.
    assert send_digest(org.pk, MONDAY + timedelta(days=7)) is Outcome.SENT
    assert (len(mail.received), len(recorded.all())) == (4, 1)


def test_runs_side_by_side_send_it_once(
    transactional_db: None, org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str]
) -> None:
    outcomes: list[Outcome] = []
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        try:
            outcomes.append(send_digest(org.pk, MONDAY))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.name for outcome in outcomes) == ["ALREADY", "ALREADY", "ALREADY", "SENT"]
    assert mail.recipients == ["olga@example.com", "petr@example.com"]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Simulator-Statuses", "401"),
        ("X-Simulator-Answer", "refused"),
        ("X-Simulator-Answer", "cut-off"),
        ("X-Simulator-Text", "no%20JSON"),
        ("X-Simulator-Text", people.answer(headline="На 15 % дороже.", observations=[])),
    ],
)
def test_numbers_go_out_without_the_models_words_when_these_fail(
    org: Organization,
    owners: list[User],
    mail: MailServer,
    simulated: dict[str, str],
    recorded: Recorded,
    header: str,
    value: str,
) -> None:
    simulated[header] = value
    assert send_digest(org.pk, MONDAY) is Outcome.SENT
    content = part(mail.received[0][1], "text/plain").get_content()
    assert "0,0896\u00a0₽" in content
    assert "15" not in content.replace("2026", "")
    assert DigestDelivery.objects.get().summary is None
    assert recorded.one().attribution.org_id == org.pk


def test_an_owner_whose_address_is_refused_stops_no_other_and_is_tried_again(
    org: Organization,
    owners: list[User],
    mail: MailServer,
    simulated: dict[str, str],
    recorded: Recorded,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mail.refused = {"olga@example.com"}
    with pytest.raises(DeliveryError, match=r"olga@example\.com: SMTPRecipientsRefused"):
        send_digest(org.pk, MONDAY)
    assert mail.recipients == ["petr@example.com"]
    row = DigestDelivery.objects.get()
    assert (row.sent_at, row.claimed_at, row.delivered_to) == (None, None, [owners[1].pk])
    assert row.error == "olga@example.com: SMTPRecipientsRefused"

    mail.refused = set()
    assert send_digest(org.pk, MONDAY) is Outcome.SENT
    assert mail.recipients == ["olga@example.com", "petr@example.com"]
    row.refresh_from_db()
    assert (row.sent_at is not None, row.error, sorted(row.delivered_to)) == (True, "", sorted(o.pk for o in owners))
    assert len(recorded.all()) == 1  # the summary of the first attempt


def test_an_address_of_two_lines_stops_no_other_and_adds_no_header(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str]
) -> None:
    owners[0].email = "olga@example.com\nBcc: all@example.com"
    owners[0].save()
    with pytest.raises(DeliveryError):
        send_digest(org.pk, MONDAY)
    assert "\n" not in DigestDelivery.objects.get().error
    assert mail.recipients == ["petr@example.com"]
    assert all("Bcc" not in message for _, message in mail.received)


def test_without_a_mail_server_nothing_is_lost(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str], settings: Any
) -> None:
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    with pytest.raises(ConnectionRefusedError):
        send_digest(org.pk, MONDAY)
    row = DigestDelivery.objects.get()
    assert (row.sent_at, row.claimed_at, row.error.startswith("ConnectionRefusedError")) == (None, None, True)
    settings.EMAIL_PORT = port
    assert send_digest(org.pk, MONDAY) is Outcome.SENT
    assert len(mail.received) == 2


def test_a_run_that_died_is_taken_over_when_its_claim_has_run_out(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str]
) -> None:
    row = claim(org, last_full_week(org, MONDAY))
    assert row is not None
    row.delivered_to = [owners[0].pk]
    row.save()
    assert send_digest(org.pk, MONDAY) is Outcome.ALREADY
    assert mail.received == []
    DigestDelivery.objects.update(claimed_at=timezone.now() - CLAIM_FOR - timedelta(minutes=1))
    assert send_digest(org.pk, MONDAY) is Outcome.SENT
    assert mail.recipients == ["petr@example.com"]


def test_quiet_organisations_and_those_without_an_address_get_nothing_and_spend_nothing(
    org: Organization, mail: MailServer, simulated: dict[str, str], recorded: Recorded
) -> None:
    people.subscriber(factories.owner(org), org, "")
    factories.owner(org, "never")  # has not subscribed
    left = owner(org, "left")
    left.is_active = False
    left.save()
    assert send_digest(org.pk, MONDAY) is Outcome.NOBODY
    quiet = factories.organization()
    owner(quiet, "quiet")
    assert send_digest(quiet.pk, MONDAY) is Outcome.QUIET
    assert (mail.received, recorded.all(), DigestDelivery.objects.count()) == ([], [], 0)


def test_an_address_of_two_owners_gets_one_email(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str]
) -> None:
    same = owner(org, "same")
    same.email = "OLGA@example.com"
    same.save()
    send_digest(org.pk, MONDAY)
    assert mail.recipients == ["olga@example.com", "petr@example.com"]


def test_no_transaction_is_open_while_the_provider_or_the_mail_server_works(
    transactional_db: None,
    org: Organization,
    owners: list[User],
    simulated: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def watched(function: Any) -> Any:
        def call(*args: Any) -> Any:
            seen.append(connection.in_atomic_block)
            return function(*args)

        return call

    monkeypatch.setattr(delivery, "write_summary", watched(write_summary))
    monkeypatch.setattr(delivery, "message_to", watched(message_to))
    send_digest(org.pk, MONDAY)
    assert seen == [False, False, False]
    assert len(django_mail.outbox) == 2


def test_another_organisations_owners_get_nothing(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str]
) -> None:
    other = factories.organization("Чужая")
    owner(other, "stranger")
    send_digest(org.pk, MONDAY)
    assert "stranger@example.com" not in mail.recipients
    assert all("Чужая" not in message.as_string() for _, message in mail.received)


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="mail.log")
