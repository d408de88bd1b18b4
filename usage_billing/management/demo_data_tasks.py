"""The tasks that the demo organisations give to AI models, each a call or a workflow of several, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TypedDict

from usage_billing.recording.event import Flavour


@dataclass(frozen=True)
class Step:
    """A call of a task, with its average numbers.

    tokens_in, tokens_out: of speech, `tokens_in` is the characters; of a transcription, the seconds. cached: the part
    of the input that a warm cache serves. times: how often it is made, least and most; each repetition's prompt is
    longer by `grows`.
    """

    api: Flavour
    model: str
    tokens_in: int
    tokens_out: int = 0
    cached: float = 0.0
    agent_id: str = ""
    request_type: str = ""
    task_type: str = ""
    times: tuple[int, int] = (1, 1)
    grows: float = 0.0


@dataclass(frozen=True)
class Task:
    """Work that is done often. Several calls share a workflow id.

    feature, team: its tags. by_system: nobody's own call. of_content: about a piece of content, whose platform the
    calls have. context: facts of the answer that change its price, since `DISCOUNTS_SINCE`. at_night: from two to five.
    """

    weight: int
    feature: str
    team: str
    steps: tuple[Step, ...]
    by_system: bool = False
    of_content: bool = False
    platforms: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    at_night: bool = False


class _Words(TypedDict):
    agent_id: str
    request_type: str
    task_type: str


def _agent(agent_id: str, request_type: str, task_type: str) -> _Words:
    return {"agent_id": agent_id, "request_type": request_type, "task_type": task_type}


_REPLY = _agent("community_concierge", "comment_reply", "reply")
_CHECK = _agent("legal_guard", "legal_check", "check")
_VERIFY = _agent("research_factcheck", "fact_check", "verify")
_REWRITE = _agent("repurpose", "repurpose", "rewrite")
_DRAW = _agent("multimedia_producer", "image_generation", "illustrate")
_SCOUT = _agent("trends_scout", "trend_report", "analyse")

_LEGAL = Step("messages", "claude-sonnet-5-5", 24_000, 1_600, cached=0.7, **_CHECK)
_COVER = Step("images", "gpt-image-2", 140, 3_200, **_DRAW)

TASKS = (
    Task(30, "replies", "community", (Step("chat", "gpt-6.1-terra", 8_500, 260, cached=0.6, **_REPLY),),
         platforms=("telegram", "vk", "telegram")),
    Task(16, "chat", "product",
         (Step("chat", "gpt-6.1-terra", 7_000, 520, cached=0.75, request_type="site_chat", times=(1, 4), grows=0.6),),
         by_system=True, platforms=("web",)),
    Task(14, "search", "product",
         (Step("embeddings", "text-embedding-3-small", 40, request_type="site_search"),
          Step("responses", "gpt-6-luna", 16_000, 380, cached=0.3, request_type="site_search")),
         by_system=True, platforms=("web",)),
    Task(9, "review", "editorial", (_LEGAL,), of_content=True),
    Task(4, "review", "editorial",
         (Step("messages", "claude-opus-5-5", 18_000, 2_600, **_VERIFY),
          Step("messages", "claude-opus-5-5", 46_000, 900, cached=0.85, times=(1, 5), **_VERIFY)),
         of_content=True),
    Task(8, "publishing", "editorial",
         (Step("messages", "claude-haiku-5-5", 9_000, 1_800, times=(1, 2), **_REWRITE),), of_content=True),
    Task(4, "publishing", "editorial",
         (Step("responses", "gpt-6.1-sol", 70_000, 7_500, request_type="draft", task_type="draft"), _LEGAL, _COVER,
          Step("messages", "claude-haiku-5-5", 9_000, 1_800, times=(1, 3), **_REWRITE)),
         of_content=True),
    Task(5, "covers", "editorial", (_COVER,), of_content=True),
    Task(5, "trends", "editorial",
         (Step("embeddings", "text-embedding-3-small", 90_000, **_SCOUT),
          Step("responses", "gpt-6.1-sol", 130_000, 6_000, **_SCOUT)),
         platforms=("telegram",)),
    Task(6, "analytics", "growth", (Step("chat", "gpt-6.1-sol", 52_000, 3_200, request_type="custom_analysis"),)),
    Task(3, "analytics", "growth", (Step("responses", "gpt-6.1-sol", 96_000, 5_200, request_type="custom_analysis"),),
         context={"service_tier": "flex"}),
    Task(10, "community", "community",
         (Step("chat", "gpt-6-luna", 14_000, 700, request_type="participant_enrichment"),),
         by_system=True, context={"processing": "batch"}, at_night=True),
    Task(4, "podcasts", "audio",
         (Step("transcription", "gpt-transcribe", 2_100, request_type="transcription"),
          Step("messages", "claude-sonnet-5-5", 42_000, 2_400, request_type="show_notes")),
         of_content=True),
    Task(2, "podcasts", "audio", (Step("speech", "tts-1", 2_400, request_type="voice_over"),), of_content=True),
    # No price is known for this model.
    Task(1, "experiments", "editorial", (Step("responses", "gpt-7-preview", 18_000, 1_900, **_VERIFY),),
         of_content=True),
)  # fmt: skip
"""`feature` is what an organisation chooses its tasks by."""

DIGEST = Task(
    0, "digest", "growth", (Step("messages", "claude-sonnet-5-5", 6_000, 900, request_type="weekly_digest"),),
    by_system=True,
)  # fmt: skip
"""Every Monday morning."""

DISCOUNTS_SINCE = 42
"""How many days ago the batch and flex tiers were taken up. The price list knows their prices since October 2026."""

PREDECESSORS = {
    "gpt-6.1-terra": ("gpt-5.4-mini", 62),
    "gpt-6.1-sol": ("gpt-6-sol", 62),
    "gpt-6-luna": ("gpt-5.4-nano", 128),
    "gpt-image-2": ("gpt-image-1.5", 96),
    "claude-sonnet-5-5": ("claude-sonnet-4-6", 80),
    "claude-opus-5-5": ("claude-opus-4-8", 38),
    "claude-haiku-5-5": ("claude-haiku-4-5", 110),
}
"""Model → the one used before it, and how many days ago the calls changed over."""


def model_on(model: str, day: date, today: date) -> str:
    """The model that was used on that day in place of this one."""
    before, days = PREDECESSORS.get(model, (model, 0))
    return before if day < today - timedelta(days=days) else model
