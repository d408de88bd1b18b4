"""Which account paid: by headers of httpx2 and httpx, fingerprints of keys, credentials that rotate."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from django.conf import settings as django_settings
from django.utils.crypto import salted_hmac

from ai_clients import account
from ai_clients.account import account_of
from tests.support.configure import configure

OPENAI = {"openai-organization": "org-abc", "openai-project": "proj_1", "openai-processing-ms": "12"}
ANTHROPIC = {"anthropic-organization-id": "5f1d0b7c-1a2b-4c3d-8e9f-0a1b2c3d4e5f", "anthropic-workspace-id": "wrkspc_1"}


def headers(**given: str) -> httpx2.Headers:
    return httpx2.Headers({name.replace("_", "-"): value for name, value in given.items()})


def fingerprint(api_key: str) -> str:
    return account_of(headers(x_api_key=api_key), None)["api_key"]


def sent_by(client: Any, call: Any) -> httpx2.Headers:
    """Return the request's headers as the SDK's client sends them."""
    seen: list[httpx2.Headers] = []

    def refuse(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers)
        return httpx2.Response(400, json={})

    with pytest.raises((openai.BadRequestError, anthropic.BadRequestError)):
        call(client(http_client=httpx2.Client(transport=httpx2.MockTransport(refuse)), max_retries=0))
    return seen[0]


def test_openai_says_organisation_and_project_in_its_answer() -> None:
    # OpenAI, API Overview, Debugging requests.
    request = sent_by(
        lambda **options: openai.OpenAI(api_key="sk-one", organization="asked", **options),
        lambda client: client.chat.completions.create(model="m", messages=[]),
    )
    found = account_of(request, httpx2.Headers(OPENAI))
    assert found == {"organization": "org-abc", "project": "proj_1", "api_key": fingerprint("sk-one")}


def test_anthropic_says_organisation_and_workspace_in_its_answer() -> None:
    # Anthropic, API overview, Response headers; `BetaUserProfile` of its SDK for the profile.
    request = sent_by(
        lambda **options: anthropic.Anthropic(api_key="sk-ant-one", **options),
        lambda client: client.beta.messages.create(model="m", max_tokens=1, messages=[], user_profile_id="uprof_1"),
    )
    assert account_of(request, httpx2.Headers(ANTHROPIC)) == {
        "organization": ANTHROPIC["anthropic-organization-id"],
        "project": "wrkspc_1",
        "api_key": fingerprint("sk-ant-one"),
        "user_profile": "uprof_1",
    }


def test_without_an_answer_the_request_says_what_it_asked_for() -> None:
    request = headers(authorization="Bearer sk-one", openai_organization="org-asked", openai_project="proj_asked")
    assert account_of(request, None) == {
        "organization": "org-asked",
        "project": "proj_asked",
        "api_key": fingerprint("sk-one"),
    }


def test_headers_of_the_older_httpx_and_any_case_of_names() -> None:
    httpx = pytest.importorskip("httpx")
    request = httpx.Headers([("AUTHORIZATION", "bearer sk-one")])
    answer = httpx.Headers([("OpenAI-Organization", "org-abc"), ("OPENAI-PROJECT", "")])
    assert account_of(request, answer) == {"organization": "org-abc", "api_key": fingerprint("sk-one")}


@pytest.mark.parametrize("name", ["x_api_key", "api_key"])
def test_a_key_has_the_same_fingerprint_in_each_header(name: str) -> None:
    of_bearer = account_of(headers(authorization="Bearer sk-one"), None)
    assert account_of(headers(**{name: "sk-one"}), None) == of_bearer == {"api_key": fingerprint("sk-one")}


def test_the_fingerprint_is_a_keyed_hash_and_not_the_key() -> None:
    found = fingerprint("sk-one")
    secret = django_settings.SECRET_KEY
    assert found == salted_hmac(account.SALT, "sk-one", secret=secret, algorithm="sha256").hexdigest()[:16]
    assert found != fingerprint("sk-two")


def test_the_setting_is_the_key_of_fingerprints(settings: Any) -> None:
    before = fingerprint("sk-one")
    configure(settings, FINGERPRINT_KEY="a key of its own")
    after = fingerprint("sk-one")
    assert after == salted_hmac(account.SALT, "sk-one", secret="a key of its own", algorithm="sha256").hexdigest()[:16]
    assert after != before
    configure(settings, FINGERPRINT_KEY="")
    assert account_of(headers(x_api_key="sk-one"), None) == {}


AWS = "AWS4-HMAC-SHA256 Credential={}/20261128/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature={}"


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",  # Entra, workload identity: a JWT
        "Bearer ya29.a0AfH6SMBx",  # Google Cloud
        "Bearer sk-ant-oat01-abc",  # Anthropic, OAuth
        "Bearer bedrock-api-key-YmVkcm9jaw==",  # Amazon Bedrock, short-term
        "Bearer 0123456789abcdef",  # unknown
        "Basic c2stb25lOg==",
        AWS.format("ASIAIOSFODNN7EXAMPLE", "1f"),  # temporary credentials
        "",
    ],
)
def test_credentials_that_may_rotate_have_no_fingerprint(authorization: str) -> None:
    assert account_of(headers(authorization=authorization), None) == {}


@pytest.mark.parametrize(
    "key", ["sk-proj-one", "sk-ant-api03-one", "sk-or-v1-one", "ABSKQmVkcm9jaw==", "xai-1", "gsk_1"]
)
def test_api_keys_that_come_as_bearer_tokens_have_one(key: str) -> None:
    assert account_of(headers(authorization=f"Bearer {key}"), None) == {"api_key": fingerprint(key)}


def test_a_long_term_aws_key_keeps_its_fingerprint_whatever_is_signed() -> None:
    first, second = (
        account_of(headers(authorization=AWS.format("AKIAIOSFODNN7EXAMPLE", mark)), None) for mark in ("1f", "2e")
    )
    assert first == second == {"api_key": fingerprint("AKIAIOSFODNN7EXAMPLE")}


def test_the_cache_of_fingerprints_is_bounded_and_holds_no_key() -> None:
    for number in range(2 * account.MOST_KEYS + 1):
        fingerprint(f"sk-{number}")
    assert 0 < len(account._fingerprints) <= account.MOST_KEYS
    assert not [key for key in account._fingerprints if b"sk-" in key]


@pytest.mark.parametrize(("given", "has_one"), [({"AI_COSTS_FINGERPRINT_KEY": "k"}, True), ({}, False)])
def test_without_django_the_environment_has_the_key(given: dict[str, str], has_one: bool) -> None:
    script = (
        "import httpx2\nfrom ai_clients.account import account_of\n"
        "print(account_of(httpx2.Headers({'x-api-key': 'sk-one'}), None))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"} | given
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    found = salted_hmac(account.SALT, "sk-one", secret="k", algorithm="sha256").hexdigest()[:16]
    assert done.stdout == (f"{{'api_key': '{found}'}}\n" if has_one else "{}\n")


def test_settings_without_a_secret_key_cost_the_fingerprint_alone(settings: Any) -> None:
    settings.SECRET_KEY = ""  # Django raises ImproperlyConfigured at the access
    assert account_of(headers(x_api_key="sk-one", anthropic_workspace_id="w"), None) == {"project": "w"}
