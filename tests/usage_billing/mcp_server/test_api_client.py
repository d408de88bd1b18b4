"""The API asked within this process, and what is told of each way in which it refuses or does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from mcp.server.mcpserver.exceptions import ToolError
from pytest_django import Settings

from tests.support.factories import organization
from tests.support.rows import enter, row
from tests.usage_billing.mcp_server.conftest import made_token
from usage_billing.mcp_server.api_client import ApiClient, ConfigurationError, from_environment
from usage_billing.models import Organization


@pytest.fixture
def open_connection() -> Iterator[None]:
    """The end of a request leaves this test's connection, as with Django's own test client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def in_process(token: str) -> ApiClient:
    return from_environment({"AI_COSTS_TOKEN": token})


def refusal(client: ApiClient, address: str = "usage/tokens/summary", **query: str) -> str:
    with pytest.raises(ToolError) as raised:
        client.get(address, query)
    return str(raised.value)


@pytest.mark.django_db
@pytest.mark.usefixtures("open_connection")
def test_without_an_address_this_project_answers_within_the_tokens_scope(
    org: Organization, token: str, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = [".costs.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    other = organization()
    enter(row(org), row(other), row(other))
    counts = {
        name: in_process(text).get("usage/tokens/summary", {})["all_time"]["requests_count"]
        for name, text in (("one", token), ("all", made_token(None)))
    }
    assert counts == {"one": 1, "all": 3}


@pytest.mark.django_db
@pytest.mark.usefixtures("open_connection")
def test_what_the_api_refuses_is_told_with_what_to_do(org: Organization, token: str) -> None:
    assert "Set AI_COSTS_TOKEN to a valid token" in refusal(in_process(f"aic_{'x' * 43}"))
    assert "--scope read" in refusal(in_process(made_token(org, "ingest")))
    client = in_process(token)
    assert "no such call" in refusal(client, "usage/tokens/detailed/7")
    assert "org: There is no organisation “south-pole”" in refusal(client, org="south-pole")
    assert 'ordering: "colour" is not a valid choice' in refusal(client, "usage/tokens/by-agent", ordering="colour")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda _: httpx2.Response(301, headers={"Location": "https://new.example.com/"}), "sends to https://new.exa"),
        (lambda _: httpx2.Response(200, html="<p>Log in</p>"), "Set AI_COSTS_URL to the address of the service"),
        (lambda _: httpx2.Response(404, json={"detail": "Not Found"}), "answered 404, and not as AI Costs does"),
        (lambda _: httpx2.Response(404, json={"error": "Not Found"}), "answered 404, and not as AI Costs does"),
        (lambda _: httpx2.Response(502, text="Bad Gateway"), "failed with 502. Try again later"),
        (
            lambda _: httpx2.Response(
                429, json={"error": {"code": "throttled", "message": "Slow down.", "details": {"retry_after_s": 9}}}
            ),
            "Slow down. Ask again in 9 seconds.",
        ),
    ],
)
@pytest.mark.unit
def test_an_answer_of_another_kind(answer: Callable[[httpx2.Request], httpx2.Response], told: str) -> None:
    client = httpx2.Client(transport=httpx2.MockTransport(answer), base_url="https://costs.example.com")
    assert told in refusal(ApiClient(client))


@pytest.mark.unit
@pytest.mark.parametrize("url", ["https://costs.example.com/", "https://example.com/costs"])
def test_the_address_may_have_a_path(url: str) -> None:
    client = from_environment({"AI_COSTS_TOKEN": "aic_x", "AI_COSTS_URL": url})
    assert str(client._client.base_url) == url.rstrip("/") + "/"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "Set AI_COSTS_TOKEN"),
        ({"AI_COSTS_TOKEN": "секрет"}, "Set AI_COSTS_TOKEN"),
        ({"AI_COSTS_TOKEN": "aic_x\naic_y"}, "Set AI_COSTS_TOKEN"),
        ({"AI_COSTS_TOKEN": "aic_x", "AI_COSTS_URL": "costs.example.com"}, "Set the service's address"),
    ],
)
def test_a_setting_that_is_wrong_is_named(environment: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        from_environment(environment)
