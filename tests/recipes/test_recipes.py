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

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "LangChain": ("langchain-openai", "langchain-anthropic"),
    "Pydantic AI": ("pydantic-ai-slim[openai,anthropic]",),
    "OpenAI Agents SDK": ("openai-agents",),
    # Its package for Anthropic cannot construct a message with the SDK 1 and later.
    "LlamaIndex": ("llama-index-llms-openai", "llama-index-llms-anthropic", "anthropic<1"),
    "Instructor": ("instructor[anthropic]",),
    "LiteLLM": ("litellm",),
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
        (said,) = re.findall(rf"^({'|'.join(NUMBERS)}) records?\.$", section, re.MULTILINE)
        found.append(Recipe(title, program, NUMBERS.index(said)))
    return found


def test_each_recipe_is_tested() -> None:
    assert {recipe.title for recipe in recipes()} == REQUIREMENTS.keys()


def has_tokens(event: Event) -> bool:
    return b'_tokens":' in bytes(event.usage)


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.title)
def test_a_recipe_leaves_the_records_that_it_names(recipe: Recipe, run: Run, tmp_path: Path) -> None:
    if recipe.title == "Celery":
        (tmp_path / "settings.py").write_text(SETTINGS)
        ran = run(recipe.program + WORKER, *REQUIREMENTS["Celery"], DJANGO_SETTINGS_MODULE="settings")
    else:
        ran = run(recipe.program, *REQUIREMENTS[recipe.title])
    assert [(event.status, has_tokens(event)) for event in ran.events] == [("succeeded", True)] * recipe.records
    assert all(event.model for event in ran.events)
    agents = {event.attribution.agent_id for event in ran.events}
    assert agents == ({"translator"} if "usage_context(" in recipe.program else {""})
