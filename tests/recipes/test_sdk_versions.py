"""Other versions and HTTP libraries of both SDKs: each call is recorded once, by `instrument()` and by our classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recipes.conftest import Run

PROGRAM = Path(__file__).parents[1] / "support" / "other_sdks.py"
OLDER = ("openai<3", "anthropic<1", "aiohttp", "httpx-aiohttp")
OLDEST = ("openai==2.54.0", "anthropic==0.93.0", "aiohttp", "httpx-aiohttp")
"""The oldest that pyproject.toml allows."""
NEWEST = ("openai", "anthropic", "httpx<1", "aiohttp", "httpx-aiohttp")


@pytest.mark.parametrize("way", ["instrument", "twins"])
@pytest.mark.parametrize(
    ("requirements", "library", "ways"),
    [(OLDER, "httpx", ["aiohttp"]), (OLDEST, "httpx", ["aiohttp"]), (NEWEST, "httpx2", ["aiohttp", "httpx"])],
    ids=["older", "oldest", "newest"],
)
def test_each_call_is_recorded_once(
    way: str, requirements: tuple[str, ...], library: str, ways: list[str], run: Run
) -> None:
    ran = run(PROGRAM.read_text(), *requirements, arguments=(way, *ways))
    printed = json.loads(ran.printed.splitlines()[-1])
    assert printed["http"] == library
    assert len(ran.events) == printed["calls"] + printed["given_up"]
    statuses = [event.status for event in ran.events]
    assert statuses.count("aborted") == printed["given_up"]
    assert all(b"_tokens" in bytes(event.usage) for event in ran.events if event.status == "succeeded")
