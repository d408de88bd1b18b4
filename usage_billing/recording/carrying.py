"""Carries the attribution of the code that starts some work to the thread or process that does the work."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from usage_billing.recording import gate
from usage_billing.recording.context import NOBODY, Attribution, current_attribution, restored

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def with_usage_context(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, attributed to the caller of this: `executor.submit(with_usage_context(work), item)`.

    Its calls are charged as calls made here are, in any thread, and in any process that it is pickled for. A coroutine
    function gives a coroutine function, which cannot be pickled.
    """
    attribution = current_attribution()
    if not inspect.iscoroutinefunction(function):
        return cast("Callable[P, R]", _Attributed(function, attribution))

    @functools.wraps(function)
    async def attributed(*args: P.args, **kwargs: P.kwargs) -> Any:
        with restored(attribution):
            return await function(*args, **kwargs)

    return cast("Callable[P, R]", attributed)


class _Attributed:
    """A function that runs with an attribution."""

    def __init__(self, function: Callable[..., Any], attribution: Attribution) -> None:
        self.function = function
        self.attribution = attribution

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with restored(self.attribution):
            return self.function(*args, **kwargs)

    def __getstate__(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Keep what JSON can hold of the attribution: objects in `metadata` may not be picklable."""
        return self.function, as_json(self.attribution)

    def __setstate__(self, state: tuple[Callable[..., Any], dict[str, Any]]) -> None:
        self.function, carried = state
        self.attribution = from_json(carried)


def as_json(attribution: Attribution) -> dict[str, Any]:
    """Return the attribution within the bounds of docs/recording.md, as a dict that JSON can hold.

    Functions in `metadata` are left out: their result is known only when the call is over.
    """
    metadata = {key: value for key, value in attribution.metadata.items() if not inspect.isroutine(value)}
    bounded = gate.attribution(msgspec.structs.replace(attribution, metadata=metadata))
    return cast("dict[str, Any]", msgspec.to_builtins(bounded))


def from_json(carried: Mapping[str, Any]) -> Attribution:
    """Return the attribution that `as_json` made a dict of; nobody, with a line in the log, if it cannot be read."""
    try:
        return gate.attribution(msgspec.convert(carried, Attribution))
    except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the work goes on without it
        logger.warning("A carried attribution could not be read (%s); AI calls are unattributed.", type(error).__name__)
        return NOBODY
