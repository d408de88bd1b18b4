"""Anthropic's official clients, recording. Same arguments, same methods, same results."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import anthropic
from anthropic import _client

from ai_clients.connection import with_simulator
from ai_clients.marking import recording_class

if TYPE_CHECKING:
    # For type checkers the constructors are the official ones, argument for argument.
    from anthropic import Anthropic as Anthropic
    from anthropic import AsyncAnthropic as AsyncAnthropic
    from anthropic import AsyncClient as AsyncClient
    from anthropic import Client as Client
else:

    def _completed(options: dict[str, Any]) -> dict[str, Any]:
        return with_simulator("Anthropic", options)

    Anthropic = recording_class(anthropic.Anthropic, __name__, _completed)
    AsyncAnthropic = recording_class(anthropic.AsyncAnthropic, __name__, _completed)
    Client, AsyncClient = Anthropic, AsyncAnthropic

    if hasattr(_client, "_is_base_client"):
        # The official classes look for the profile or federated identity of this machine, warn of a shadowed one, and
        # share its tokens with their copies, only if they are not subclassed: clients of other platforms have their own
        # credentials. Ours are the official ones in all but recording. tests/ai_clients/test_anthropic_clients.py names
        # the private function; an older SDK has neither.
        _is_official = _client._is_base_client

        @functools.wraps(_is_official)
        def _is_base_client(client: object) -> bool:
            return type(client) in (Anthropic, AsyncAnthropic) or _is_official(client)

        _client._is_base_client = _is_base_client
