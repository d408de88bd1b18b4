"""Records the calls of every client of both SDKs in this process, whoever constructs it.

    import ai_clients
    ai_clients.instrument()

An SDK that is not imported yet is patched when the program imports it: importing both takes a second or two.
"""

from __future__ import annotations

import functools
import importlib
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ai_clients.marking import mark
from usage_billing.recording.recorder import check_configuration

logger = logging.getLogger(__name__)

OPENAI = "openai._base_client"
BASE_CLIENTS = (OPENAI, "anthropic._base_client")
"""Modules of both SDKs. Each has a class `BaseClient`, which all clients inherit, and through whose `_build_request`
each attempt of each request passes. Both are private: tests/ai_clients/test_instrumentation.py names them."""

_lock = threading.Lock()
_originals: dict[str, Callable[..., Any]] = {}
"""Module → the `_build_request` that was replaced."""


def instrument() -> None:
    """Record all clients of both SDKs, also those that exist already. A second time changes nothing.

    Raises ImproperlyConfigured if nothing says where to record.
    """
    check_configuration()
    with _lock:
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
    for name in BASE_CLIENTS:
        if name in sys.modules:
            # Waits for another thread that is importing it.
            _patch(importlib.import_module(name))


def uninstrument() -> None:
    """Undo `instrument`, for tests. HTTP clients that have recorded a call still record those to a provider's host."""
    with _lock:
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
        for name, original in _originals.items():
            sys.modules[name].BaseClient._build_request = original
            if name == OPENAI:
                _websockets().leave_websockets(sys.modules[name].BaseClient)
        _originals.clear()


def _patch(module: ModuleType) -> None:
    """Let each request that a client of this SDK builds be marked."""
    base = getattr(module, "BaseClient", None)
    with _lock:
        if module.__name__ in _originals:
            return
        original = getattr(base, "_build_request", None)
        if original is None:
            logger.error("The calls of %s are not recorded: this version has another base class.", module.__name__)
            return

        @functools.wraps(original)
        def _build_request(client: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
            return mark(client, options.url, original(client, options, *args, **kwargs))

        base._build_request = _build_request  # type: ignore[union-attr]
        _originals[module.__name__] = original
    if module.__name__ == OPENAI:
        _websockets().record_websockets(base)


def _websockets() -> Any:
    """The module that records the websockets of OpenAI's SDK, which it imports."""
    return importlib.import_module("ai_clients.websockets.hooks")


class _Finder(MetaPathFinder):
    """Finds the modules of `BASE_CLIENTS` as Python does, and patches them when they have been imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in BASE_CLIENTS:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            _patch_after_import(spec.loader)
        return spec


_finder = _Finder()


def _patch_after_import(loader: Any) -> None:
    """Patch a module of `BASE_CLIENTS` after this loader has run it. A loader may serve other modules too."""
    run = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        run(module)
        if module.__name__ in BASE_CLIENTS and _finder in sys.meta_path:
            _patch(module)

    loader.exec_module = exec_module
