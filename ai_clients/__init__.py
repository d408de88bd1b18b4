"""Drop-in replacements for the official clients that record what every call used and cost.

from ai_clients import OpenAI, AsyncOpenAI, Anthropic, AsyncAnthropic
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai_clients.anthropic_clients import Anthropic, AsyncAnthropic
    from ai_clients.openai_clients import AsyncOpenAI, OpenAI

__all__ = ["Anthropic", "AsyncAnthropic", "AsyncOpenAI", "OpenAI"]


def __getattr__(name: str) -> Any:
    """Import an SDK at the first use of its clients: each takes most of a second, and Django imports this package."""
    if name in ("OpenAI", "AsyncOpenAI"):
        return getattr(import_module("ai_clients.openai_clients"), name)
    if name in ("Anthropic", "AsyncAnthropic"):
        return getattr(import_module("ai_clients.anthropic_clients"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
