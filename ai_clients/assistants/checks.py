"""Checks the settings of the agents."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from ai_clients.assistants.agents import agents
from usage_billing.conf import conf


def agent_models(**_: Any) -> list[CheckMessage]:
    """Check that AGENT_MODELS names agents that exist, and models of providers that they can use."""
    unknown: list[CheckMessage] = [
        Error(f"AI_AGENT_MODELS: there is no agent {name}. There are {', '.join(agents())}.", id="ai_assistants.E001")
        for name in conf.AGENT_MODELS
        if name not in agents()
    ]
    return unknown + [Error(why, id="ai_assistants.E002") for agent in agents().values() if (why := _wrong(agent))]


def _wrong(agent: Any) -> str:
    try:
        agent.runs_on()
    except ImproperlyConfigured as error:
        return str(error)
    return ""
