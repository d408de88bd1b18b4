"""Programs of other languages through the proxy, as docs/proxy.md sets them up: Node's SDKs, Claude Code, Codex."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import factories
from tests.support.proxied import Proxied, database_of_tests, proxied, token
from tests.support.reliability.world import ROOT
from usage_billing.models import Organization
from usage_billing.recording import Event

PACKAGES = ("openai", "@anthropic-ai/sdk", "@anthropic-ai/claude-code", "@openai/codex")
CODEX = """
model = "gpt-4.1-mini"
model_provider = "ai_costs"

[model_providers.ai_costs]
name = "AI Costs"
base_url = "{url}"
env_key = "AI_COSTS_TOKEN"
wire_api = "responses"
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages in their newest versions."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", *PACKAGES], cwd=folder, check=True, timeout=600)
    # What its postinstall does, which npm leaves out unless it is approved: it links the program of this platform.
    subprocess.run(
        ["node", "install.cjs"], cwd=folder / "node_modules/@anthropic-ai/claude-code", check=True, timeout=120
    )
    return folder


@pytest.fixture(scope="module")
def served(django_db_setup: None, provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    urls = f"openai={provider}/openai,anthropic={provider}/anthropic"
    with proxied(database_of_tests(), tmp_path_factory.mktemp("proxy"), AI_SIMULATOR="1", PROXY_URLS=urls) as made:
        yield made


@pytest.fixture
def org(served: Proxied, transactional_db: None) -> Organization:
    served.begin_anew()
    return factories.organization()


def run(node: Path, home: Path, *command: str, **variables: str) -> str:
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        command, cwd=node, env={"PATH": os.environ["PATH"], "HOME": str(home), **variables}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expect(served: Proxied, org: Organization, *flavours: str) -> list[Event]:
    events = served.events()
    assert [(event.flavour, event.status, event.attribution.org_id) for event in events] == [
        (flavour, "succeeded", org.pk) for flavour in flavours
    ]
    assert all(b"_tokens" in bytes(event.usage) for event in events)
    return events


def test_the_sdks_for_node(node: Path, served: Proxied, org: Organization, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests/support/node_calls.mjs", node)
    key = token(org)
    printed = run(node, tmp_path / "home", "node", "node_calls.mjs", PROXY=f"{served.url}/proxy", TOKEN=key)
    assert len(printed.split()) == 5
    events = expect(served, org, "chat", "chat", "responses", "messages", "messages")
    for event in events:
        assert event.attribution.agent_id == "node"
        assert event.attribution.tags == {"service_token": "program", "team": "search"}


def test_claude_code(node: Path, served: Proxied, org: Organization, tmp_path: Path) -> None:
    variables = {
        "ANTHROPIC_BASE_URL": served.anthropic,
        "ANTHROPIC_AUTH_TOKEN": token(org),
        "ANTHROPIC_CUSTOM_HEADERS": "x-ai-costs-agent: claude-code",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    program = str(node / "node_modules/.bin/claude")
    printed = run(node, tmp_path / "home", program, "-p", "hi", "--model", "claude-sonnet-4-6", **variables)
    assert printed.strip()
    events = served.events()
    assert {(event.flavour, event.status, event.attribution.org_id) for event in events} == {
        ("messages", "succeeded", org.pk)
    }
    assert {event.attribution.agent_id for event in events} == {"claude-code"}


def test_codex(node: Path, served: Proxied, org: Organization, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".codex").mkdir(parents=True)
    (home / ".codex" / "config.toml").write_text(CODEX.format(url=served.openai))
    program = str(node / "node_modules/.bin/codex")
    command = (program, "exec", "--skip-git-repo-check", "hi")
    assert run(node, home, *command, AI_COSTS_TOKEN=token(org)).strip()
    expect(served, org, "responses")
