"""A pytest plugin that puts the recording clients in the place of the official ones before a suite imports them.

SDK_SUITE_SDK: `openai` or `anthropic`. SDK_SUITE_CLIENTS: `official` changes nothing; `recording` replaces the classes;
`instrumented` calls `ai_clients.instrument()`. SDK_SUITE_REPORT: the file that the results are written to.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ALIASES = {"OpenAI": ("Client",), "AsyncOpenAI": ("AsyncClient",)}
"""Further public names of a class, such as `openai.Client`."""


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
    defined_in = official.__module__
    if not defined_in.startswith(f"{sdk.__name__}.lib."):
        return [sdk]
    return [sdk, *(sys.modules[name] for name in {defined_in.rpartition(".")[0], defined_in} if name in sys.modules)]


def _substitute() -> None:
    clients, sdk = os.environ["SDK_SUITE_CLIENTS"], importlib.import_module(os.environ["SDK_SUITE_SDK"])
    if clients == "recording":
        _replace_classes(sdk)
    elif clients == "instrumented":
        import ai_clients

        ai_clients.instrument()
    elif clients != "official":
        raise ValueError(f"SDK_SUITE_CLIENTS is {clients!r}")


_substitute()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write the node ids of the tests that failed, and the number of those that passed."""
    stats = terminalreporter.stats
    failed = sorted({report.nodeid for outcome in ("failed", "error") for report in stats.get(outcome, [])})
    report = {"failed": failed, "passed": len(stats.get("passed", []))}
    Path(os.environ["SDK_SUITE_REPORT"]).write_text(json.dumps(report))
