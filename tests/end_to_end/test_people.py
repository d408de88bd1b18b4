"""Participants, digests and questions over real HTTP, from the request to the amounts on the page."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tests.support import factories, mail_server, people
from tests.support.configure import configure
from tests.support.factories import event
from tests.support.mail_server import MailServer
from usage_billing.ledger import writer
from usage_billing.models import Organization, UsageRecord
from usage_billing.templatetags.amounts import style_of, write_number


@pytest.fixture
def org(transactional_db: None) -> Organization:
    org = factories.organization("Северный ветер")
    factories.rate(factories.today(org) - timedelta(days=10), "80")
    factories.rate(factories.today(org), "80.5")
    return org


@pytest.fixture
def mail(settings: Settings) -> Iterator[MailServer]:
    with mail_server.running() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        yield server


def post(server: LiveServer, path: str, body: Any = None, *, bearer: str = "") -> tuple[int, Any]:
    """Status and JSON of a POST over the wire."""
    request = urllib.request.Request(
        f"{server.url}{path}",
        data=json.dumps(body or {}).encode(),
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {bearer}"} if bearer else {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def token(server: LiveServer, person: User) -> str:
    _, answer = post(server, "/api/token", {"username": person.username, "password": "secret"})
    granted: str = answer["data"]["access"]
    return granted


def exact(value: Decimal | None) -> str:
    """The amount as the list of calls has it on hover."""
    assert value is not None
    return f'title="{write_number(value.normalize(), style_of("ru"))}"'


def assert_on_the_pages(record: UsageRecord) -> None:
    """The record's amounts, on the superadmin's page and on the one of the organisation's owner."""
    owner = factories.owner(record.org)
    for person, address in ((factories.superadmin(), "/superadmin/ai-costs?days=7"), (owner, "/usage/?days=7")):
        client = Client(headers={"accept-language": "ru"})
        client.force_login(person)
        page = client.get(address).content.decode()
        assert record.request_type in page
        assert exact(record.cost_usd) in page
        in_rub = client.get(f"{address}&currency=rub").content.decode()
        assert exact(record.cost_rub) in in_rub
    call_command("check_usage")


def test_a_members_analysis_of_a_participant(
    org: Organization, live_server: LiveServer, simulated: dict[str, str], drained: Callable[[], int]
) -> None:
    member, author = factories.member(org), people.talkative(org, "Олег", 4)
    stranger = factories.owner(factories.organization())
    simulated["X-Simulator-Text"] = people.answer(**people.PROFILE)

    address = f"/api/participants/{author.pk}/enrich-ai"
    assert post(live_server, address)[0] == 401
    assert post(live_server, address, bearer=token(live_server, stranger))[0] == 404
    status, answer = post(live_server, address, bearer=token(live_server, member))

    assert (status, answer["data"]["role"], answer["data"]["interests"]) == (200, "expert", ["походы", "карты"])
    assert drained() == 1
    record = UsageRecord.objects.get()
    duration = record.request_metadata.pop("duration_ms")
    assert (record.org, record.user, record.agent_id, record.request_type, record.status) == (
        org,
        member,
        "",
        "participant_enrichment",
        "succeeded",
    )
    assert record.request_metadata == {"participant_id": author.pk, "participant_name": "Олег", "message_count": 4}
    assert (record.ai_provider, record.ai_model, record.workflow_id, record.content_id) == (
        "openai",
        "gpt-6-luna",
        None,
        f"participant-{author.pk}",
    )
    assert isinstance(duration, int)
    assert duration + 1 >= record.execution_time_ms
    assert_on_the_pages(record)


def test_the_button_on_a_participants_page(
    org: Organization, live_server: LiveServer, simulated: dict[str, str], drained: Callable[[], int]
) -> None:
    author = people.talkative(org)
    client = Client()
    client.force_login(root := factories.superadmin())
    with translation.override("ru"):
        response = client.post(reverse("admin:ai_assistants_participant_enrich", args=[author.pk]), follow=True)
    assert response.status_code == 200
    assert drained() == 1
    record = UsageRecord.objects.get()
    assert (record.org, record.user, record.request_type) == (org, root, "participant_enrichment")
    assert_on_the_pages(record)


def test_crons_update_of_all_roles(
    org: Organization,
    live_server: LiveServer,
    simulated: dict[str, str],
    drained: Callable[[], int],
    settings: Settings,
) -> None:
    configure(settings, CRON_SECRET="cron")
    other, closed = factories.organization(), factories.organization()
    closed.closed_at = timezone.now()
    closed.save()
    authors = [people.talkative(one) for one in (org, other, closed)]

    address = "/api/cron/update-participant-roles"
    assert [post(live_server, address, bearer=bearer)[0] for bearer in ("", "wrong", "cron2")] == [401, 401, 401]
    status, answer = post(live_server, address, bearer="cron")

    assert (status, answer["data"]["analysed"], answer["data"]["organizations"]) == (200, 2, 2)
    assert drained() == 2
    rows = UsageRecord.objects.order_by("org_id").values_list("org_id", "request_metadata__participant_id")
    assert list(rows) == [(author.org_id, author.pk) for author in authors[:2]]
    assert UsageRecord.objects.filter(user__isnull=True, request_type="participant_enrichment").count() == 2
    assert_on_the_pages(UsageRecord.objects.get(org=org))
    assert post(live_server, address, bearer="cron")[1]["data"]["analysed"] == 0
    assert drained() == 0


def test_crons_weekly_digests(
    org: Organization,
    live_server: LiveServer,
    simulated: dict[str, str],
    drained: Callable[[], int],
    settings: Settings,
    mail: MailServer,
) -> None:
    configure(settings, CRON_SECRET="cron")
    people.subscriber(factories.owner(org), org, "olga@example.com")
    week_ago = timezone.now() - timedelta(days=7)
    writer.add([event(org=org, at=week_ago, attribution={"request_type": "legal_check"})])
    simulated["X-Simulator-Text"] = people.answer(headline="Расходы выросли.", observations=["Из-за legal_check."])

    status, answer = post(live_server, "/api/cron/send-weekly-digests", bearer="cron")

    assert (status, answer["data"]["sent"], answer["data"]["failed"]) == (200, 1, 0)
    assert mail.recipients == ["olga@example.com"]
    assert drained() == 1
    record = UsageRecord.objects.get(request_type="weekly_digest")
    assert (record.org, record.user, record.ai_provider, record.ai_model) == (
        org,
        None,
        "anthropic",
        "claude-sonnet-5-5",
    )
    assert_on_the_pages(record)
    assert post(live_server, "/api/cron/send-weekly-digests", bearer="cron")[1]["data"]["sent"] == 0
    assert (drained(), len(mail.received)) == (0, 1)


def test_a_members_question(
    org: Organization, live_server: LiveServer, simulated: dict[str, str], drained: Callable[[], int]
) -> None:
    member, stranger = factories.member(org), factories.member(factories.organization())
    piece = people.piece(org, platform="telegram", content_type="post")
    simulated["X-Simulator-Text"] = people.answer(answer="О картах.", is_answered=True, evidence=[1])
    question = {"question": "О чём это?", "content_ids": [str(piece.pk)]}

    assert post(live_server, "/api/custom-analysis", question, bearer=token(live_server, stranger))[0] == 404
    status, answer = post(live_server, "/api/custom-analysis", question, bearer=token(live_server, member))

    assert (status, answer["data"]["evidence"]) == (200, [{"type": "content", "id": str(piece.pk)}])
    assert drained() == 1
    record = UsageRecord.objects.get()
    assert (record.org, record.user, record.request_type, record.content_id, record.platform, record.content_type) == (
        org,
        member,
        "custom_analysis",
        str(piece.pk),
        "telegram",
        "post",
    )
    assert record.request_metadata == {"message_count": 0, "content_count": 1}
    assert_on_the_pages(record)


def test_a_refused_analysis_is_paid_for_and_shown(
    org: Organization, live_server: LiveServer, simulated: dict[str, str], drained: Callable[[], int]
) -> None:
    member, author = factories.member(org), people.talkative(org)
    simulated["X-Simulator-Answer"] = "refused"
    address = f"/api/participants/{author.pk}/enrich-ai"
    status, answer = post(live_server, address, bearer=token(live_server, member))
    assert (status, answer["error"]["code"]) == (422, "refused")
    assert drained() == 1
    assert_on_the_pages(UsageRecord.objects.get())
