"""Tells the drain that events wait. The drain registers itself, so that recording imports nothing above it."""

from __future__ import annotations

from collections.abc import Callable

callbacks: list[Callable[[], None]] = []
"""Functions to call after each recorded event, in the caller's thread: they must be quick."""


def wake() -> None:
    """Call the callbacks, and let their errors through."""
    for callback in callbacks:
        callback()
