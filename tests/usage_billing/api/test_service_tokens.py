"""People make, rotate and revoke service tokens by the API; the token is told once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests.support import factories, programs
from usage_billing.api import examples
from usage_billing.auth import provider_keys
from usage_billing.auth.service_tokens import program_of
from usage_billing.models import Membership, Organization, ProviderKey, ServiceToken
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db

TOKENS, KEYS = "/api/billing/service-tokens", "/api/billing/provider-keys"
SECRET = "sk-proj-0123456789abcdef"


def client(person: Any) -> APIClient:
    found = APIClient()
    found.force_login(person)
    found.credentials(HTTP_ACCEPT_LANGUAGE="en")
    return found


@pytest.fixture
def org() -> Organization:
    return factories.organization()


@pytest.fixture
def owner(org: Organization) -> APIClient:
    return client(factories.owner(org, "anna"))


def test_a_token_is_told_when_it_is_made_and_never_again(org: Organization, owner: APIClient) -> None:
    ends_at = timezone.now().replace(microsecond=0) + timedelta(days=7)
    body = {
        "name": "gateway", "org": org.slug, "scopes": ["proxy", "ingest"], "allowed_models": ["gpt-6-luna"],
        "expires_at": ends_at.isoformat(),
    }  # fmt: skip
    answer = owner.post(TOKENS, body, format="json")
    made = answer.json()["data"]
    assert answer.status_code == 201
    assert made.keys() == examples.MADE_TOKEN.keys()
    program = program_of(made["token"])
    assert program is not None
    assert (program.org_id, program.scopes, program.expires_at) == (org.pk, frozenset({"proxy", "ingest"}), ends_at)
    assert (made["by"], made["org"], made["scopes"], made["state"]) == ("anna", org.slug, ["ingest", "proxy"], "active")
    listed = owner.get(TOKENS)
    assert made["token"] not in listed.content.decode()
    assert listed.json()["data"]["count"] == 1
    (item,) = listed.json()["data"]["items"]
    assert item["last_used_at"] is not None
    assert {**item, "last_used_at": None} == {name: made[name] for name in item}
    assert made["token"].startswith(item["prefix"])


def test_it_is_rotated_and_revoked(org: Organization, owner: APIClient) -> None:
    token, text = programs.token(org, "read")
    answer = owner.post(f"{TOKENS}/{token.pk}/rotate", {"overlap_hours": 1}, format="json")
    assert answer.status_code == 201
    new = answer.json()["data"]
    assert program_of(new["token"]) is not None
    assert program_of(text) is not None
    again = owner.post(f"{TOKENS}/{token.pk}/rotate", {}, format="json")
    assert (again.status_code, again.json()["error"]["details"]) == (
        400,
        {"non_field_errors": ["The token was rotated already. Rotate the one that replaced it."]},
    )
    for _ in range(2):
        assert owner.delete(f"{TOKENS}/{new['id']}").status_code == 204
    assert program_of(new["token"]) is None
    states = {item["id"]: item["state"] for item in owner.get(TOKENS).json()["data"]["items"]}
    assert states == {token.pk: "active", new["id"]: "revoked"}
    wrong = owner.post(f"{TOKENS}/{token.pk}/rotate", {"overlap_hours": 721}, format="json")
    assert wrong.json() == examples.WRONG_OVERLAP


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"), ({"name": "x" * 65}, "name"), ({"name": "a\x85b"}, "name"), ({"name": 5}, "name"),
        ({"scopes": []}, "scopes"), ({"scopes": ["admin"]}, "scopes"), ({"scopes": "read"}, "scopes"),
        ({"allowed_models": ["x" * 201]}, "allowed_models"), ({"expires_at": "2026-11-28"}, "expires_at"),
        ({"expires_at": "2026-11-28T10:00:00"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:00"}, "expires_at"),
        ({"expires_at": 5}, "expires_at"), ({"org": "nobody"}, "org"), ({"prefix": "x"}, "prefix"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_field(
    org: Organization, owner: APIClient, change: dict[str, Any], field: str
) -> None:
    answer = owner.post(TOKENS, {"name": "x", "org": org.slug, "scopes": ["read"], **change}, format="json")
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (400, [field])
    assert not ServiceToken.objects.exists()


def test_an_end_that_has_passed_is_refused_as_shown(org: Organization, owner: APIClient) -> None:
    body = {"name": "x", "org": org.slug, "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}
    assert owner.post(TOKENS, body, format="json").json() == examples.WRONG_EXPIRY


def test_each_person_sees_and_changes_their_own(org: Organization, owner: APIClient) -> None:
    other = factories.organization()
    own, foreign, of_all = (programs.token(each)[0] for each in (org, other, None))
    provider_keys.save(scope=EVERYTHING, by="boss", org=other, provider="openai", secret=SECRET)
    provider_keys.save(scope=EVERYTHING, by="boss", org=None, provider="openai", secret=SECRET)
    member = client(factories.member(org))
    superadmin = client(factories.superadmin())
    expected = ((owner, {own.pk}, 0), (member, set[int](), 0), (superadmin, {own.pk, foreign.pk, of_all.pk}, 2))
    for person, tokens, keys in expected:
        assert {item["id"] for item in person.get(TOKENS).json()["data"]["items"]} == tokens
        assert person.get(KEYS).json()["data"]["count"] == keys
    for token in (foreign, of_all):
        assert owner.delete(f"{TOKENS}/{token.pk}").json() == examples.NO_TOKEN
        assert owner.post(f"{TOKENS}/{token.pk}/rotate", {}, format="json").status_code == 404
    assert member.delete(f"{TOKENS}/{own.pk}").status_code == 404
    body = {"name": "x", "scopes": ["read"]}
    refused = owner.post(TOKENS, body, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_a_superadmin")
    assert member.post(TOKENS, body | {"org": org.slug}, format="json").json() == examples.NOT_AN_OWNER_OF_TOKENS
    assert superadmin.post(TOKENS, body, format="json").json()["data"]["org"] is None
    assert {item["id"] for item in superadmin.get(f"{TOKENS}?org={org.slug}").json()["data"]["items"]} == {own.pk}
    assert not ServiceToken.objects.exclude(revoked_at=None).exists()
    assert ProviderKey.objects.count() == 2


def test_a_provider_key_is_saved_replaced_and_removed(org: Organization, owner: APIClient) -> None:
    address = f"{KEYS}/openai?org={org.slug}"
    saved = owner.put(address, {"secret": SECRET}, format="json")
    assert saved.status_code == 200
    assert {**saved.json()["data"], "saved_at": ""} == {
        "provider": "openai", "org": org.slug, "hint": "cdef", "by": "anna", "saved_at": "",
    }  # fmt: skip
    assert provider_keys.secret_for(org.pk, "openai") == SECRET
    assert owner.put(address, {"secret": "sk-another-key-0000"}, format="json").json()["data"]["hint"] == "0000"
    listed = owner.get(KEYS)
    assert (listed.json()["data"]["count"], "another" in listed.content.decode()) == (1, False)
    assert owner.delete(address).status_code == 204
    assert owner.delete(address).json() == examples.NO_KEY
    assert provider_keys.secret_for(org.pk, "openai") is None


@pytest.mark.parametrize(
    ("address", "body", "status", "details"),
    [
        ("openai", {"secret": SECRET}, 403, set()), ("openai?org=nobody", {"secret": SECRET}, 400, {"org"}),
        ("openai?org=OWN", {}, 400, {"secret"}), ("openai?org=OWN", {"secret": "two words"}, 400, {"secret"}),
        ("openai?org=OWN", {"secret": SECRET, "x": 1}, 400, {"x"}),
        ("gemini?org=OWN", {"secret": SECRET}, 404, set()), ("GEMINI?org=OWN", {"secret": SECRET}, 404, set()),
        ("openai?orgs=OWN", {"secret": SECRET}, 400, {"orgs"}),
        ("openai?org=OWN&org=1", {"secret": SECRET}, 400, {"org"}),
    ],
)  # fmt: skip
def test_a_wrong_key_is_refused(
    org: Organization, owner: APIClient, address: str, body: dict[str, Any], status: int, details: set[str]
) -> None:
    answer = owner.put(f"{KEYS}/{address.replace('OWN', org.slug)}", body, format="json")
    assert (answer.status_code, {*answer.json()["error"]["details"]}) == (status, details)
    assert not ProviderKey.objects.exists()


def test_programs_are_kept_out_of_all_of_it(org: Organization) -> None:
    token, text = programs.token(None)
    program = programs.client(text)
    asked = [
        program.get(TOKENS),
        program.post(TOKENS, {"name": "x", "scopes": ["read"]}, format="json"),
        program.post(f"{TOKENS}/{token.pk}/rotate", {}, format="json"),
        program.delete(f"{TOKENS}/{token.pk}"),
        program.get(KEYS),
        program.put(f"{KEYS}/openai", {"secret": SECRET}, format="json"),
        program.delete(f"{KEYS}/openai"),
    ]
    assert {answer.status_code for answer in asked} == {403}
    assert ServiceToken.objects.get().revoked_at is None


def test_an_owner_who_leaves_changes_nothing_more(org: Organization, owner: APIClient) -> None:
    token, _ = programs.token(org)
    Membership.objects.all().delete()
    assert owner.delete(f"{TOKENS}/{token.pk}").status_code == 404
    assert APIClient().get(TOKENS).status_code == 401
