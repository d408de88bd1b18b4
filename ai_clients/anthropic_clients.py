"""Anthropic's official clients, recording. Same arguments, same methods, same results."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import anthropic
from anthropic.lib.credentials import default_credentials

from ai_clients.connection import with_simulator
from ai_clients.transport import record_calls

CREDENTIALS = ("api_key", "auth_token", "credentials", "config", "profile")

if TYPE_CHECKING:
    # For type checkers the constructors are the official ones, argument for argument.
    from anthropic import Anthropic as Anthropic
    from anthropic import AsyncAnthropic as AsyncAnthropic
else:

    class Anthropic(anthropic.Anthropic):
        """`anthropic.Anthropic`; every call is recorded."""

        @functools.wraps(anthropic.Anthropic.__init__)
        def __init__(self, **options: Any) -> None:
            super().__init__(**_with_found_credentials(with_simulator("Anthropic", options)))
            record_calls(self._client)

    class AsyncAnthropic(anthropic.AsyncAnthropic):
        """`anthropic.AsyncAnthropic`; every call is recorded."""

        @functools.wraps(anthropic.AsyncAnthropic.__init__)
        def __init__(self, **options: Any) -> None:
            super().__init__(**_with_found_credentials(with_simulator("Anthropic", options)))
            record_calls(self._client)


def _with_found_credentials(options: dict[str, Any]) -> dict[str, Any]:
    """The options with the profile or federated identity of this machine, where the official class would find one.

    It looks for those only when its type is exactly its own, so that a sub-class has to look itself.
    """
    if any(options.get(name) is not None for name in CREDENTIALS):
        return options
    base_url = options.get("base_url") or os.environ.get("ANTHROPIC_BASE_URL")
    # None where ANTHROPIC_API_KEY is set: that one the official constructor finds in a sub-class too.
    found = default_credentials(base_url=str(base_url or "https://api.anthropic.com"))
    if found is None or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return options
    return {
        **options,
        "credentials": found.provider,
        "base_url": base_url or found.base_url,
        "default_headers": {**found.extra_headers, **(options.get("default_headers") or {})},
    }
