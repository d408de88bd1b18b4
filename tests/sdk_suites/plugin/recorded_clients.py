"""A pytest plugin that puts the recording clients in the place of the official ones before a suite imports them.

SDK_SUITE_CLIENTS: `official` changes nothing; `recording` replaces the classes; `instrumented` calls
`ai_clients.instrument()`. SDK_SUITE_SDK: `openai` or `anthropic`.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

ALIASES = {"OpenAI": ("Client",), "AsyncOpenAI": ("AsyncClient",)}
"""Further public names of a class (`openai.Client`)."""


def _replace_classes(sdk: ModuleType) -> None:
    """Replace each class that has a recording twin of its name, in all modules that export it."""
    import ai_clients

    for name in ai_clients.__all__:
        official = getattr(sdk, name, None)
        if isinstance(official, type):
            for module in _exporting_modules(sdk, official):
                for exported in (name, *ALIASES.get(name, ())):
                    if getattr(module, exported, None) is official:
                        setattr(module, exported, getattr(ai_clients, name))


def _exporting_modules(sdk: ModuleType, official: Any) -> list[ModuleType]:
    """The package and, of a class below `lib`, the modules that tests import it from.

    Not `_client`: there the SDK compares with its own class (`type(self) is Anthropic`).
    """
    below = official.__module__
    if not below.startswith(f"{sdk.__name__}.lib."):
        return [sdk]
    parents = {below.rpartition(".")[0], below}
    return [sdk, *(sys.modules[name] for name in parents if name in sys.modules)]


def _start() -> None:
    clients, sdk = os.environ["SDK_SUITE_CLIENTS"], importlib.import_module(os.environ["SDK_SUITE_SDK"])
    if clients == "recording":
        _replace_classes(sdk)
    elif clients == "instrumented":
        import ai_clients

        ai_clients.instrument()
    elif clients != "official":
        raise ValueError(f"SDK_SUITE_CLIENTS is {clients!r}")


_start()
