"""The programs in docs/recipes.md run as they stand there, and leave as many records as it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.recipes.conftest import Run
from usage_billing.recording.event import Event

DOCUMENT = Path(__file__).parents[2] / "docs" / "recipes.md"
NUMBERS = ("No", "One", "Two", "Three", "Four")

CALLBACK = "LiteLLM callback"
"""The recipe that leaves nothing in the outbox: `test_litellm_callback` runs it."""

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "LangChain": ("langchain-openai", "langchain-anthropic"),
    "Pydantic AI": ("pydantic-ai-slim[openai,anthropic]",),
    "OpenAI Agents SDK": ("openai-agents",),
    # Its package for Anthropic cannot construct a message with the SDK 1 and later.
    "LlamaIndex": ("llama-index-llms-openai", "llama-index-llms-anthropic", "anthropic<1"),
    "Instructor": ("instructor[anthropic]",),
    "LiteLLM": ("litellm",),
    CALLBACK: ("litellm",),
    "Haystack": ("haystack-ai", "anthropic-haystack"),
    "Tracing tools": (
        "langfuse",
        "logfire",
        "sentry-sdk",
        "opentelemetry-instrumentation-openai",
        "opentelemetry-instrumentation-anthropic",
    ),
    "Executors": ("openai",),
    "Celery": ("celery",),
    "FastAPI": ("fastapi", "uvicorn"),
    "Flask": ("flask",),
    "HTTP without an SDK": ("httpx2",),
}
"""Heading → what pip installs beside our wheel, each in its newest version."""


SETTINGS = """
import os

SECRET_KEY = "of a foreign project, and long enough to sign what it signs"
AI_COSTS = {"OUTBOX_PATH": os.environ["AI_COSTS_OUTBOX_PATH"], "DRAIN": "off"}
"""
WORKER = """
import threading

from celery.contrib.testing.worker import start_worker
from celery.signals import task_postrun

done = threading.Event()
task_postrun.connect(lambda **_: done.set(), weak=False)
with start_worker(app, pool="solo", perform_ping_check=False, loglevel="ERROR"):
    assert done.wait(60)
"""
"""Is appended to Celery's program: its broker is in the memory of the process."""
ASK = """
import concurrent.futures
import threading
import urllib.request


def ask(url):
    def get(path, customer):
        request = urllib.request.Request(f"{url}/{path}?word=spring", headers={"X-Customer": customer})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.read()

    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        list(executor.map(get, ["translate", "explain"], ["acme", "globex"]))
"""
UVICORN = f"""
{ASK}
import time

import uvicorn

server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
thread = threading.Thread(target=server.run)
thread.start()
while not server.started:
    assert thread.is_alive()
    time.sleep(0.01)
ask("http://127.0.0.1:%d" % server.servers[0].sockets[0].getsockname()[1])
server.should_exit = True
thread.join()
"""
WERKZEUG = f"""
{ASK}
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever).start()
ask("http://127.0.0.1:%d" % server.server_port)
server.shutdown()
"""
DRIVERS = {"Celery": WORKER, "FastAPI": UVICORN, "Flask": WERKZEUG}
"""Heading → what is appended to the program, so that it does its work and ends."""


@dataclass(frozen=True)
class Recipe:
    title: str
    program: str
    records: int


def recipes() -> list[Recipe]:
    found = []
    for section in re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        (program,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        (said,) = re.findall(rf"^({'|'.join(NUMBERS)}) records?[.,]", section, re.MULTILINE)
        found.append(Recipe(title, program, NUMBERS.index(said)))
    return found


def test_each_recipe_is_tested() -> None:
    assert {recipe.title for recipe in recipes()} == REQUIREMENTS.keys()


def has_tokens(event: Event) -> bool:
    return b'_tokens":' in bytes(event.usage)


@pytest.mark.parametrize(
    "recipe", [recipe for recipe in recipes() if recipe.title != CALLBACK], ids=lambda recipe: recipe.title
)
def test_a_recipe_leaves_the_records_that_it_names(recipe: Recipe, run: Run, tmp_path: Path) -> None:
    program, environment = recipe.program + DRIVERS.get(recipe.title, ""), {}
    if recipe.title == "Celery":
        (tmp_path / "settings.py").write_text(SETTINGS)
        environment["DJANGO_SETTINGS_MODULE"] = "settings"
    ran = run(program, *REQUIREMENTS[recipe.title], **environment)
    assert [(event.status, has_tokens(event)) for event in ran.events] == [("succeeded", True)] * recipe.records
    assert all(event.model for event in ran.events)
    agents = {event.attribution.agent_id for event in ran.events}
    assert agents == ({"translator"} if "usage_context(" in recipe.program else {""})
    if recipe.title in ("FastAPI", "Flask"):
        told = {(event.attribution.request_type, event.attribution.tags["customer"]) for event in ran.events}
        assert told == {("/translate", "acme"), ("/explain", "globex")}
