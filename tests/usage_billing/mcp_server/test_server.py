"""`manage.py mcp` in a process of its own, asked by the official client, over a live server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from django.core.management import CommandError, call_command
from mcp import Client, StdioServerParameters, stdio_client
from pytest_django.live_server_helper import LiveServer

from tests.support.budgets import budget
from tests.support.factories import organization
from tests.support.postgres import free_port
from tests.support.rows import enter, row
from usage_billing.auth import service_tokens
from usage_billing.models import Organization, ServiceToken
from usage_billing.tenancy.scope import EVERYTHING

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[3]
COMMAND = (sys.executable, str(ROOT / "manage.py"), "mcp")
WITHOUT_DJANGO = (sys.executable, "-m", "usage_billing.mcp_server")


class Assistant:
    """A client as a coding assistant has it."""

    def __init__(self, client: Client, portal: BlockingPortal) -> None:
        self._client, self._portal = client, portal

    def ask(self, tool: str, **arguments: Any) -> Any:
        """Return the answer's figures. Fails for an error of the tool."""
        result = self._called(tool, arguments)
        assert not result.is_error, result.content
        assert json.loads(result.content[0].text) == result.structured_content  # for clients that read only text
        assert result.structured_content["units"]
        return result.structured_content["data"]

    def refused(self, tool: str, **arguments: Any) -> str:
        result = self._called(tool, arguments)
        assert result.is_error, result.content
        return str(result.content[0].text)

    def tools(self) -> dict[str, Any]:
        return {tool.name: tool for tool in self._portal.call(self._client.list_tools).tools}

    def _called(self, tool: str, arguments: dict[str, Any]) -> Any:
        return self._portal.call(self._client.call_tool, tool, arguments)


@contextmanager
def assistant(command: tuple[str, ...] = COMMAND, **environment: str) -> Iterator[Assistant]:
    """Start the server as a coding assistant does."""
    server = StdioServerParameters(
        command=command[0], args=[*command[1:]], env={"PYTHONPATH": str(ROOT), "DEBUG": "1", **environment}
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Client(stdio_client(server))) as client,
    ):
        yield Assistant(client, portal)


def test_an_assistant_asks_what_the_month_costs(live_server: LiveServer, token: str, org: Organization) -> None:
    now = datetime.now(UTC)
    enter(
        row(org, created_at=now, tags={"feature": "search"}),
        row(org, created_at=now, agent_id="translator", cost_usd=Decimal("2.25")),
        row(org, created_at=now, agent_id="translator", cost_usd=None, cost_rub=None),
        row(organization("South"), created_at=now, cost_usd=Decimal(1000)),
    )
    budget(org, name="Yearly", window="total")
    with assistant(AI_COSTS_TOKEN=token, AI_COSTS_URL=live_server.url) as claude:
        month = claude.ask("summary")["this_month"]
        assert (Decimal(month["cost_usd"]), month["requests_count"], month["unpriced_count"]) == (Decimal("2.75"), 3, 1)
        assert month["total_tokens"] == 360

        agents = claude.ask("breakdown", by="agent", period={"days": 2}, limit=1)
        assert [(item["agent_id"], item["requests_count"]) for item in agents["items"]] == [("translator", 2)]
        assert agents["other"]["requests_count"] == 1
        tags = claude.ask("breakdown", by="tag", tag_key="feature", ordering="-requests_count")
        assert [(item["value"], item["requests_count"]) for item in tags["items"]] == [("", 2), ("search", 1)]
        day = str(now.astimezone(org.zone).date())
        (today,) = claude.ask("history", period={"from_date": day, "to_date": day})["items"]
        assert today["requests_count"] == 3
        listed = claude.ask("calls", exclude={"agent_id": ["legal_guard"]}, only={"unpriced": "usd"})
        assert [call["cost_usd"] for call in listed["items"]] == [None]
        tagged = claude.ask("calls", filters={"tags": {"feature": ["search"]}, "status": ["succeeded"]})
        (call,) = tagged["items"]
        assert claude.ask("call", id=call["id"])["tags"] == {"feature": "search"}
        (found,) = claude.ask("budgets", is_active=True)["items"]
        assert (found["name"], Decimal(found["spent"])) == ("Yearly", Decimal("2.75"))

        assert "tag_key" in claude.refused("breakdown", by="tag")
        assert "agnet" in claude.refused("summary", filters={"agnet": ["a"]})
        assert "colour" in claude.refused("breakdown", by="colour")

        service_tokens.revoke(ServiceToken.objects.get(), scope=EVERYTHING, by="test")
        assert "Set AI_COSTS_TOKEN to a valid token" in claude.refused("summary")


def test_without_django_and_with_the_service_away() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with assistant(WITHOUT_DJANGO, AI_COSTS_TOKEN="aic_x", AI_COSTS_URL=url) as claude:
        tools = claude.tools()
        assert set(tools) == {"summary", "history", "breakdown", "calls", "call", "budgets"}
        for tool in tools.values():
            assert tool.description
            assert tool.annotations.read_only_hint
            assert all("description" in field for field in tool.input_schema["properties"].values()), tool.name
            assert tool.output_schema is not None
        away = claude.refused("summary")
        assert f"{url} does not answer" in away.replace("/ ", " ")
        assert "check AI_COSTS_URL" in away


def test_standard_output_is_the_protocol_and_nothing_else(live_server: LiveServer) -> None:
    client: dict[str, Any] = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    asked: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": client},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "summary", "arguments": {}}},
    ]
    environment = {"AI_COSTS_TOKEN": f"aic_{'x' * 43}", "AI_COSTS_URL": live_server.url}
    with subprocess.Popen(
        COMMAND,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in asked:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        process.stdin.flush()
        lines = [process.stdout.readline(), process.stdout.readline()]
        process.stdin.close()
        rest = process.stdout.read()
    started, refused = map(json.loads, lines)
    assert started["result"]["serverInfo"]["name"] == "ai-costs"
    assert refused["result"]["isError"] is True
    assert "Set AI_COSTS_TOKEN" in refused["result"]["content"][0]["text"]
    assert rest == ""
    assert process.returncode == 0


def test_without_the_sdk_the_command_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.startswith("usage_billing.mcp_server."):
            monkeypatch.delitem(sys.modules, name)
        elif name.partition(".")[0] == "mcp":
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CommandError, match=r'pip install "django-ai-costs\[mcp\]"'):
        call_command("mcp")


def test_a_setting_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AI_COSTS_TOKEN", raising=False)
    with pytest.raises(CommandError, match="Set AI_COSTS_TOKEN"):
        call_command("mcp")
