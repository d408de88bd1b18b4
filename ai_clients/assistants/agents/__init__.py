"""The agents, one a file: each module here with an `AGENT` is found by itself."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from ai_clients.assistants.runs.agent import AnyAgent


@functools.cache
def agents() -> Mapping[str, AnyAgent]:
    """All agents by id, sorted by id."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__, f"{__name__}."))
    found: list[AnyAgent] = [importlib.import_module(name).AGENT for name in names]
    return MappingProxyType({agent.id: agent for agent in found})
