"""What a row of LiteLLM's spend logs tells; `management/test_import_usage.py` has the whole import."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.factories import NOON
from tests.support.recorded import usage_of
from usage_billing.ingest.files import litellm
from usage_billing.ingest.files.rows import Maps
from usage_billing.recording.event import Event


def event_of(usage: dict[str, Any]) -> Event:
    row = {
        "request_id": "chatcmpl-11111111111111111111",
        "startTime": "2026-11-18T09:00:00Z",
        "endTime": "2026-11-18T09:00:02Z",
        "custom_llm_provider": "anthropic",
        "model": "anthropic/claude-opus-4-6",
        "call_type": "acompletion",
        "status": "success",
        **{name: usage[name] for name in ("prompt_tokens", "completion_tokens")},
        "metadata": {"usage_object": usage},
    }
    return litellm.call_of(row, Maps(), NOON + timedelta(days=1)).event


@pytest.mark.parametrize("fact", [{"speed": "fast"}, {"inference_geo": "us"}, {"service_tier": "priority"}])
def test_what_changes_the_price_is_kept(fact: dict[str, str]) -> None:
    event = event_of({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, **fact})

    assert event.context == fact


@pytest.mark.parametrize(("prompt", "written"), [(10_205, 200), (10_005, 200), (5, 200)])
def test_each_version_counts_cached_tokens_once(prompt: int, written: int) -> None:
    """The prompt has both reads and writes, or the reads alone, or neither."""
    event = event_of(
        {
            "prompt_tokens": prompt,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 10_000},
            "cache_read_input_tokens": 10_000,
            "cache_creation_input_tokens": written,
        }
    )

    block = usage_of(event)
    counts = [block.get(name, 0) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")]
    assert counts == [5, 10_000, 200]
