"""Owners decline the weekly digest on the account page."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_clients.assistants.digest.delivery import send_digest
from tests.ai_clients.assistants.digest.conftest import MONDAY, owner
from tests.support import factories
from tests.support.mail_server import MailServer
from usage_billing.models import Organization

pytestmark = pytest.mark.django_db


def browser(person: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(person)
    return client


def test_owner_who_declines_gets_none_and_the_others_do(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str]
) -> None:
    olga = browser(owners[0])
    assert 'name="weekly-digest" checked' in olga.get("/account/").content.decode()
    olga.post("/account/choices/", {})
    assert 'name="weekly-digest">' in olga.get("/account/").content.decode()
    send_digest(org.pk, MONDAY)
    assert mail.recipients == ["petr@example.com"]


def test_owner_may_change_their_mind(
    org: Organization, owners: list[User], mail: MailServer, simulated: dict[str, str]
) -> None:
    olga = browser(owners[0])
    olga.post("/account/choices/", {})
    olga.post("/account/choices/", {"weekly-digest": "on"})
    send_digest(org.pk, MONDAY)
    assert mail.recipients == ["olga@example.com", "petr@example.com"]


def test_choice_is_the_owners_and_of_their_own_organisations(org: Organization, owners: list[User]) -> None:
    other = factories.organization("Чужая")
    stranger = owner(other, "stranger")
    browser(stranger).post("/account/choices/", {})
    assert 'name="weekly-digest" checked' in browser(owners[0]).get("/account/").content.decode()
    member = factories.member(org, "member")
    assert "weekly-digest" not in browser(member).get("/account/").content.decode()
