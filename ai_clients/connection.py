"""Decides where the clients' calls go: to the providers or, in development without a key, to the simulator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from usage_billing.conf import conf


@dataclass(frozen=True)
class Provider:
    """The constructor options and environment variables that give a provider's client its key or its address."""

    default_url: str
    base_url_variable: str
    variables: tuple[str, ...]
    options: tuple[str, ...]


PROVIDERS = {
    "OpenAI": Provider(
        "https://api.openai.com/v1",
        "OPENAI_BASE_URL",
        ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"),
        ("api_key", "admin_api_key", "workload_identity", "provider", "base_url", "data_residency"),
    ),
    "Anthropic": Provider(
        "https://api.anthropic.com",
        "ANTHROPIC_BASE_URL",
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_FEDERATION_RULE_ID"),
        ("api_key", "auth_token", "credentials", "config", "profile", "base_url"),
    ),
}

SIMULATOR = "simulator"


def with_simulator(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The client's options; if neither they nor the environment give a key, and SIMULATOR is on, the simulator's.

    Raises ImproperlyConfigured if the simulator is not installed.
    """
    given = any(options.get(option) is not None for option in PROVIDERS[name].options)
    if given or not _is_simulated(name):
        return options
    try:
        # Imported here: it is for development and tests, and not in the wheel.
        from ai_clients.simulator.server import ensure_running
    except ImportError as error:
        raise ImproperlyConfigured(
            f"There is no key for {name}, and the simulator that would answer instead is not installed: it is part of"
            f" the source repository. Set {PROVIDERS[name].variables[0]}, or AI_COSTS['SIMULATOR'] to False."
        ) from error
    simulator = ensure_running()
    url = simulator.openai_base_url if name == "OpenAI" else simulator.anthropic_base_url
    return {**options, "api_key": SIMULATOR, "base_url": url}


def destinations() -> Mapping[str, str]:
    """The destination of a client without options: provider → its address, or `simulator`."""
    return {
        name: SIMULATOR if _is_simulated(name) else os.environ.get(provider.base_url_variable) or provider.default_url
        for name, provider in PROVIDERS.items()
    }


def _is_simulated(name: str) -> bool:
    provider = PROVIDERS[name]
    return conf.SIMULATOR and not any(
        os.environ.get(variable) for variable in (*provider.variables, provider.base_url_variable)
    )
