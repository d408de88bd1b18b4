"""Drop-in replacements for the official clients that record what every call used and cost.

from ai_clients import OpenAI, AsyncOpenAI, Anthropic, AsyncAnthropic

`instrument()` records the official clients themselves, whoever constructs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai_clients.anthropic_clients import Anthropic, AsyncAnthropic
    from ai_clients.anthropic_platform_clients import (
        AnthropicAWS,
        AnthropicBedrock,
        AnthropicBedrockMantle,
        AnthropicFoundry,
        AnthropicGoogleCloud,
        AnthropicVertex,
        AsyncAnthropicAWS,
        AsyncAnthropicBedrock,
        AsyncAnthropicBedrockMantle,
        AsyncAnthropicFoundry,
        AsyncAnthropicGoogleCloud,
        AsyncAnthropicVertex,
    )
    from ai_clients.instrumentation import instrument
    from ai_clients.marking import record_http_client
    from ai_clients.openai_clients import (
        AsyncAzureOpenAI,
        AsyncBedrockOpenAI,
        AsyncOpenAI,
        AzureOpenAI,
        BedrockOpenAI,
        OpenAI,
    )

__all__ = [
    "Anthropic",
    "AnthropicAWS",
    "AnthropicBedrock",
    "AnthropicBedrockMantle",
    "AnthropicFoundry",
    "AnthropicGoogleCloud",
    "AnthropicVertex",
    "AsyncAnthropic",
    "AsyncAnthropicAWS",
    "AsyncAnthropicBedrock",
    "AsyncAnthropicBedrockMantle",
    "AsyncAnthropicFoundry",
    "AsyncAnthropicGoogleCloud",
    "AsyncAnthropicVertex",
    "AsyncAzureOpenAI",
    "AsyncBedrockOpenAI",
    "AsyncOpenAI",
    "AzureOpenAI",
    "BedrockOpenAI",
    "OpenAI",
    "instrument",
    "record_http_client",
]

_FUNCTIONS = {"instrument": "instrumentation", "record_http_client": "marking"}
"""Function → its module."""


def __getattr__(name: str) -> Any:
    """Import an SDK at the first use of its clients: each takes most of a second, and Django imports this package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"ai_clients.{_module_of(name)}"), name)


def _module_of(name: str) -> str:
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    if name.endswith("OpenAI"):
        return "openai_clients"
    return "anthropic_clients" if name in ("Anthropic", "AsyncAnthropic") else "anthropic_platform_clients"
