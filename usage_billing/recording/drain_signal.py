"""Tells the drain that events wait. The drain registers itself, so that recording imports nothing above it."""

from __future__ import annotations

from collections.abc import Callable

callbacks: list[Callable[[], None]] = []
"""Called after each event that was recorded, in the caller's thread: they must be quick."""


def wake() -> None:
    """Call the callbacks. An error of one is raised."""
    for callback in callbacks:
        callback()
