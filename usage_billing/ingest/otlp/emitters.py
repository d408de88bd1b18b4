"""What is known of the programs that emit spans, as data: their habits and their faults.

Measured with their versions of November 2026, except where a comment says otherwise. tests/support/otlp/ has the spans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

OUTPUT_COUNTED_TWICE = "output-counted-twice"
OUTPUT_PERHAPS_COUNTED_TWICE = "output-perhaps-counted-twice"


@dataclass(frozen=True)
class Habit:
    """scope: the beginning of the instrumentation scope's name.

    provider: of all its calls, where the span may not say. counts_cache: whether its input count of an Anthropic call
    contains the cached tokens. since: the first version that is known to do so. unset_is_cut: a span without a status
    is a stream that the program closed early. begins_streams_empty: a streamed call has two spans, the first without
    usage. adds_first_output: the output count of a streamed message is too high by that of its first event.
    """

    scope: str
    provider: str = ""
    counts_cache: Literal["included", "excluded", "unknown"] = "unknown"
    since: tuple[int, ...] = ()
    unset_is_cut: bool = False
    begins_streams_empty: bool = False
    adds_first_output: bool = False


HABITS = (
    # The Anthropic SDK's own spans, and those that Anthropic's platform sends (platform.claude.com, OpenTelemetry span
    # reference: “Unset: the application cancelled the step”).
    Habit("com.anthropic.sdk.", counts_cache="included", unset_is_cut=True),
    Habit("com.anthropic.claude-platform", provider="anthropic", counts_cache="included"),
    Habit("opentelemetry.instrumentation.genai.", counts_cache="included"),
    # OpenLLMetry. `streaming.py` adds the output count of `message_start` to the final one, which contains it.
    Habit(
        "opentelemetry.instrumentation.anthropic",
        provider="anthropic",
        counts_cache="included",
        since=(0, 62),
        adds_first_output=True,
    ),
    Habit("opentelemetry.instrumentation.openai", provider="openai"),
    Habit("openinference.instrumentation.anthropic", provider="anthropic", counts_cache="included", since=(3, 1)),
    Habit("openinference.instrumentation.openai", provider="openai"),
    Habit("pydantic-ai", counts_cache="included", since=(2, 68)),
    Habit("logfire.", counts_cache="included", since=(5, 4), begins_streams_empty=True),
)
UNKNOWN = Habit("")


def habit_of(scope: str, version: str) -> Habit:
    """Return what is known of an emitter; of a version before `since`, not how it counts."""
    found = next((habit for habit in HABITS if scope.startswith(habit.scope)), UNKNOWN)
    if found.since and _numbers(version) < found.since:
        return Habit(**{**vars(found), "counts_cache": "unknown"})
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d{1,9}", version)[:3])
