"""The page of service tokens: who opens it, what it shows and never shows, and what its forms do."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tests.support import factories, programs
from tests.support.configure import configure
from usage_billing.auth import provider_keys, service_tokens
from usage_billing.auth.service_tokens import program_of
from usage_billing.models import Organization, ProviderKey, ServiceToken
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db

OWN, SUPERADMINS = "/usage/tokens", "/superadmin/ai-costs/tokens"
SECRET = "sk-proj-0123456789abcdef"


def client(person: User, language: str = "en") -> Client:
    found = Client(headers={"accept-language": language})
    found.force_login(person)
    return found


@pytest.fixture
def org() -> Organization:
    return factories.organization("Acme")


@pytest.fixture
def owner(org: Organization) -> Client:
    return client(factories.owner(org, "anna"))


def page(client: Client, address: str, data: dict[str, Any] | None = None, status: int = 200) -> str:
    answer = client.get(address) if data is None else client.post(address, data)
    assert answer.status_code == status, answer.content.decode()
    return unescape(answer.content.decode())


def shown_token(html: str) -> str:
    (text,) = re.findall(r'<input id="token"[^>]*value="([^"]+)"', html)
    return str(text)


def test_an_owner_makes_a_token_and_sees_it_once(org: Organization, owner: Client, settings: Settings) -> None:
    configure(settings, PUBLIC_URL="https://costs.example.com/")
    data = {
        "org": str(org.pk), "name": "gateway", "scopes": ["proxy", "ingest", "read", "budgets"],
        "allowed_models": "gpt-6-luna, claude-opus-5-5", "days": "30",
    }  # fmt: skip
    html = page(owner, f"{OWN}/new", data)
    text = shown_token(html)
    program = program_of(text)
    assert program is not None
    assert (program.name, program.org_id, program.allowed_models) == (
        "gateway", org.pk, ("gpt-6-luna", "claude-opus-5-5"),
    )  # fmt: skip
    assert program.expires_at is not None
    assert timedelta(days=29) < program.expires_at - timezone.now() <= timedelta(days=30)
    for line in (
        "export OTEL_EXPORTER_OTLP_ENDPOINT=https://costs.example.com\n",
        f"export OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20{text}",
        "export OPENAI_BASE_URL=https://costs.example.com/proxy/openai/v1\n",
        f"export ANTHROPIC_API_KEY={text}",
        f'curl -H "Authorization: Bearer {text}" https://costs.example.com/api/billing/budgets',
    ):
        assert line in html
    listed = page(owner, OWN)
    assert text not in listed
    assert f"{text[:12]}…" in listed
    assert "made by anna" in listed


def test_a_wrong_form_says_what_is_wrong_and_makes_nothing(org: Organization, owner: Client) -> None:
    other = factories.organization("Globex")
    html = page(owner, f"{OWN}/new", {"org": str(org.pk), "name": " ", "days": "0"})
    assert html.count('class="alarm-text"') == 3  # name, scopes, days
    html = page(owner, f"{OWN}/new", {"org": str(org.pk), "name": "…other", "scopes": ["read"]})
    assert "Use letters, digits and signs that can be read" in html
    for value in (str(other.pk), "all", "", "x"):
        page(owner, f"{OWN}/new", {"org": value, "name": "x", "scopes": ["read"]})
    assert "Globex" not in html
    assert not ServiceToken.objects.exists()


def test_it_is_rotated_and_both_work_until_the_overlap_ends(org: Organization, owner: Client) -> None:
    token, old = programs.token(org, "read")
    html = page(owner, f"{OWN}/{token.pk}/rotate")
    assert re.findall(r'name="overlap" value="(\d+)"', html) == ["1", "24", "168"]
    new = shown_token(page(owner, f"{OWN}/{token.pk}/rotate", {"overlap": "168"}))
    assert program_of(new) is not None
    assert program_of(old) is not None
    token.refresh_from_db()
    assert token.expires_at is not None
    assert timedelta(days=6, hours=23) < token.expires_at - timezone.now() <= timedelta(days=7)
    assert "The token was rotated already." in page(owner, f"{OWN}/{token.pk}/rotate", {"overlap": "1"})
    assert 'class="alarm-text"' in page(owner, f"{OWN}/{token.pk}/rotate", {"overlap": "2"})
    listed = page(owner, OWN)
    assert f"{OWN}/{token.pk}/revoke" in listed
    assert f"{OWN}/{token.pk}/rotate" not in listed


def test_it_is_revoked_after_a_question(org: Organization, owner: Client) -> None:
    token, text = programs.token(org, "read")
    assert "Revoke the token “gateway”" in page(owner, f"{OWN}/{token.pk}/revoke")
    assert program_of(text) is not None
    assert owner.post(f"{OWN}/{token.pk}/revoke").headers["Location"] == OWN
    assert program_of(text) is None
    listed = page(owner, OWN)
    assert "The token “gateway” is revoked." in listed
    assert "1 token that has ended" in listed
    assert f"{OWN}/{token.pk}/revoke" not in listed


def test_a_provider_key_is_saved_replaced_and_removed(org: Organization, owner: Client) -> None:
    data = {"org": str(org.pk), "provider": "anthropic", "secret": SECRET}
    assert owner.post(f"{OWN}/keys/new", data).headers["Location"] == OWN
    listed = page(owner, OWN)
    assert "…cdef" in listed
    assert "saved by anna" in listed
    assert SECRET not in listed
    key = ProviderKey.objects.get()
    form = page(owner, f"{OWN}/keys/new?provider=anthropic&org={org.pk}")
    assert '<option value="anthropic" selected>' in form
    owner.post(f"{OWN}/keys/new", data | {"secret": "sk-another-key-0000"})
    assert provider_keys.secret_for(org.pk, "anthropic") == "sk-another-key-0000"
    wrong = page(owner, f"{OWN}/keys/new", data | {"secret": "two words"})
    assert "This is no key of a provider" in wrong
    assert "two words" not in wrong
    assert "Remove the key of Anthropic for Acme?" in page(owner, f"{OWN}/keys/{key.pk}/remove")
    assert owner.post(f"{OWN}/keys/{key.pk}/remove").headers["Location"] == OWN
    assert provider_keys.secret_for(org.pk, "anthropic") is None


def test_superadmins_see_all_and_owners_their_own(org: Organization, owner: Client) -> None:
    other = factories.organization("Globex")
    tokens = {
        each: programs.token(each, name=f"of {each.name if each else 'everyone'}")[0] for each in (org, other, None)
    }
    for each in (org, other, None):
        provider_keys.save(scope=EVERYTHING, by="boss", org=each, provider="openai", secret=SECRET)
    superadmin = client(factories.superadmin())
    html = page(superadmin, SUPERADMINS)
    assert [name in html for name in ("of Acme", "of Globex", "of everyone")] == [True] * 3
    narrowed = page(superadmin, f"{SUPERADMINS}?org={other.pk}")
    assert [name in narrowed for name in ("of Acme", "of Globex", "of everyone")] == [False, True, False]
    html = page(owner, OWN)
    assert [name in html for name in ("of Acme", "of Globex", "of everyone", "Globex")] == [True, False, False, False]
    assert page(owner, f"{OWN}?org={other.pk}").count("of Globex") == 0
    foreign = [tokens[other], tokens[None]]
    keys = ProviderKey.objects.exclude(org=org)
    for address in (
        *(f"{OWN}/{token.pk}/{what}" for token in foreign for what in ("rotate", "revoke")),
        *(f"{OWN}/keys/{key.pk}/remove" for key in keys),
        f"{OWN}/{'9' * 30}/revoke",
    ):
        page(owner, address, status=404)
        page(owner, address, {"overlap": "1"}, status=404)
    made = page(superadmin, f"{SUPERADMINS}/new", {"org": "all", "name": "collector", "scopes": ["ingest"]})
    program = program_of(shown_token(made))
    assert program is not None
    assert program.org_id is None
    assert superadmin.get(OWN).headers["Location"] == SUPERADMINS
    assert ServiceToken.objects.exclude(revoked_at=None).count() == 0


@pytest.mark.parametrize("below", ["", "/new", "/keys/new"])
def test_members_are_told_that_it_is_for_owners(org: Organization, below: str) -> None:
    member, nobody = client(factories.member(org)), client(factories.user())
    for person in (member, nobody):
        html = page(person, f"{OWN}{below}", status=403)
        assert "Service tokens and provider keys are for the owners of the organisation." in html
    page(member, f"{SUPERADMINS}{below}", status=403)
    assert page(member, "/usage/").count(OWN) == 0
    token, _ = programs.token(org)
    page(member, f"{OWN}/{token.pk}/revoke", {}, status=404)


def test_the_sidebar_leads_owners_there(owner: Client) -> None:
    assert f'<a href="{OWN}">Service tokens</a>' in page(owner, "/usage/")
    assert f'<a href="{OWN}" aria-current="page">' in page(owner, OWN)


def test_hostile_names_stay_text(org: Organization) -> None:
    name = "<script>alert(1)</script>'\"{{ 7 }}"
    person = factories.owner(org, "<b>anna</b>")
    token, _ = service_tokens.create(scope=EVERYTHING, by=person.username, name=name, org=org, scopes=["read"])
    browser = client(person)
    for address in (OWN, f"{OWN}/{token.pk}/rotate", f"{OWN}/{token.pk}/revoke"):
        html = browser.get(address).content.decode()
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert(1)" in html
        assert "<b>anna" not in html


def test_the_page_takes_no_more_queries_for_more_tokens(
    org: Organization, owner: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        programs.token(org, name=f"program {number}")
    with django_assert_max_num_queries(25):
        page(owner, OWN)
