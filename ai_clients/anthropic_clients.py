"""Anthropic's official clients, recording. Same arguments, same methods, same results."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import anthropic
from anthropic import NOT_GIVEN, NotGiven

from ai_clients.connection import with_simulator
from ai_clients.marking import RecordingMixin, record_client

if TYPE_CHECKING:
    from anthropic.lib.credentials import CredentialResult

CREDENTIALS = ("api_key", "auth_token", "credentials", "config", "profile")

if TYPE_CHECKING:
    # For type checkers the constructors are the official ones, argument for argument.
    from anthropic import Anthropic as Anthropic
    from anthropic import AsyncAnthropic as AsyncAnthropic
    from anthropic import AsyncClient as AsyncClient
    from anthropic import Client as Client
else:

    class Anthropic(RecordingMixin, anthropic.Anthropic):
        """`anthropic.Anthropic`; every call is recorded."""

        _family = "anthropic"

        @functools.wraps(anthropic.Anthropic.__init__)
        def __init__(self, **options: Any) -> None:
            options = with_simulator("Anthropic", options)
            found = _found_credentials(options)
            super().__init__(**_with(found, options))
            _note(found, self, options)
            record_client(self)

        @functools.wraps(anthropic.Anthropic.copy)
        def copy(self, **options: Any) -> Anthropic:
            return super().copy(**_with_inherited_credentials(self, options))

        with_options = copy

    class AsyncAnthropic(RecordingMixin, anthropic.AsyncAnthropic):
        """`anthropic.AsyncAnthropic`; every call is recorded."""

        _family = "anthropic"

        @functools.wraps(anthropic.AsyncAnthropic.__init__)
        def __init__(self, **options: Any) -> None:
            options = with_simulator("Anthropic", options)
            found = _found_credentials(options)
            super().__init__(**_with(found, options))
            _note(found, self, options)
            record_client(self)

        @functools.wraps(anthropic.AsyncAnthropic.copy)
        def copy(self, **options: Any) -> AsyncAnthropic:
            return super().copy(**_with_inherited_credentials(self, options))

        with_options = copy

    Client, AsyncClient = Anthropic, AsyncAnthropic


# The official class looks for the profile or federated identity of this machine, and passes it on to its copies, only
# if the instance is not of a subclass. So a subclass has to do both.


def _found_credentials(options: dict[str, Any]) -> CredentialResult | None:
    """The credentials that the official class would find if no option gives any."""
    # The official constructor finds a key or token of the environment in a subclass too.
    if any(options.get(name) is not None for name in CREDENTIALS) or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return None
    try:
        from anthropic.lib.credentials import default_credentials
    except ImportError:
        return None  # an older SDK has no profiles
    return default_credentials(base_url=str(_base_url(options) or "https://api.anthropic.com"))


def _with(found: CredentialResult | None, options: dict[str, Any]) -> dict[str, Any]:
    if found is None:
        return options
    return {**options, "credentials": found.provider, "base_url": _base_url(options) or found.base_url}


def _note(found: CredentialResult | None, client: Any, options: dict[str, Any]) -> None:
    """Keep the headers and the base URL of the credentials: a copy with other credentials drops both."""
    if found is not None:
        client._credential_headers = found.extra_headers
        client._unchosen_base_url = None if _base_url(options) else client.base_url


def _with_inherited_credentials(client: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options of `copy` with the client's own credentials, and the tokens that these have fetched already."""
    others = any(options.get(name) for name in CREDENTIALS) or not isinstance(
        options.get("credentials", NOT_GIVEN), NotGiven
    )
    if (
        others
        or getattr(client, "credentials", None) is None
        or client.api_key is not None
        or client.auth_token is not None
    ):
        return options
    inherited = {"credentials": client.credentials}
    if options.get("base_url") is None:
        inherited["_token_cache"] = client._token_cache  # tokens are valid where they were fetched
    return {**options, "_extra_kwargs": {**inherited, **options.get("_extra_kwargs", {})}}


def _base_url(options: dict[str, Any]) -> Any:
    return options.get("base_url") or os.environ.get("ANTHROPIC_BASE_URL")
