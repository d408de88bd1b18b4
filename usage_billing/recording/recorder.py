"""The only way into the outbox: it never raises, and it counts the calls that it could not keep."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from usage_billing.conf import DEFAULTS, conf, given, has_django_settings
from usage_billing.recording import drain_signal, gate, quarantine
from usage_billing.recording.collecting import collect
from usage_billing.recording.event import Event, encode
from usage_billing.recording.outbox import Backlog, Outbox
from usage_billing.recording.quota import OutboxQuota

logger = logging.getLogger(__name__)

_lock = threading.RLock()  # re-entrant: the garbage collector may bring a loss while another is being counted
_losses: Counter[str] = Counter()
"""Losses of this process that are not in the outbox's count yet."""
_is_noting = False
_logged: set[str] = set()
_current_error = ""
"""Why the latest event was not kept; empty once one was."""


@dataclass(frozen=True)
class Health:
    """The recorder's state. `backlog` is None when the outbox cannot be read; `error` then says why.

    `quarantined`: damaged files that were moved out of the way. `size`: bytes on the disk.
    """

    backlog: Backlog | None
    lost: int
    error: str
    quarantined: int = 0
    size: int = 0


@functools.cache
def outbox() -> Outbox:
    """The outbox of this process, at `conf.OUTBOX_PATH`."""
    return Outbox(conf.OUTBOX_PATH)


@functools.cache
def quota() -> OutboxQuota:
    """The quota of this process's outbox, from `conf.OUTBOX_MAX_MB`."""
    return OutboxQuota(conf.OUTBOX_MAX_MB * 2**20)


def _wanted() -> tuple[Any, ...]:
    """Return the settings of the outbox, as the caches below have them."""
    return tuple(given().get(name, DEFAULTS[name]) for name in ("OUTBOX_PATH", "OUTBOX_MAX_MB"))


_used: tuple[Any, ...] = ()


@receiver(setting_changed)
def _use_new_settings(*, setting: str, **_: object) -> None:
    """Tests change settings: go on with the outbox that they name now."""
    global _used
    if setting == "AI_COSTS" and _used != _wanted():
        _close_outbox()
        outbox.cache_clear()
        quota.cache_clear()
        _used = _wanted()


def check_configuration() -> None:
    """Raise ImproperlyConfigured if nothing says where this process keeps its outbox."""
    if not has_django_settings() and not given().get("OUTBOX_PATH"):
        raise ImproperlyConfigured(
            "AI calls cannot be recorded: this process has no Django settings and no AI_COSTS_OUTBOX_PATH. Set"
            " AI_COSTS_OUTBOX_PATH to the outbox that the service on this machine drains, or DJANGO_SETTINGS_MODULE."
        )


def record(*events: Event) -> bool:
    """Keep the events until the ledger has them. An error is counted and logged, never raised.

    Returns whether they were kept.
    """
    is_kept = True
    try:
        within_bounds = tuple(map(gate.admitted, events))
        collect(*within_bounds)
        quota().check(outbox())
        outbox().append(*map(encode, within_bounds))
        if _losses or _current_error:
            _clear_error()
    except Exception as error:  # noqa: BLE001 - guarantee 1, docs/guarantees.md: the caller's answer comes first
        lost(error, len(events))
        is_kept = False
    try:
        drain_signal.wake()
    except Exception:
        # The event is safe; a later one, or another process, wakes the drain.
        logger.exception("The drain thread could not be started.")
    return is_kept


def lost(error: Exception, calls: int = 1) -> None:
    """Count calls whose usage could not be kept, and log the first of each reason. Never raises."""
    global _current_error
    reason = _reason(error)
    with _lock:
        is_first = reason not in _logged
        _logged.add(reason)
        _losses[reason] += calls
        _current_error = reason
    # The loss is counted in memory. If something fails below, it is the host's logging: nowhere is left to say so.
    with suppress(Exception):
        note_losses()
        if is_first:
            logger.error(
                "An AI call could not be recorded (%s); the call itself was not touched. Check the outbox %s and its"
                " disk. Further losses of this kind are counted, not logged.",
                reason,
                _path(),
                exc_info=None if isinstance(error, OSError) else error,
            )


def _reason(error: Exception) -> str:
    """Group failures by type: drop the file name, which differs on every attempt."""
    try:
        message = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"{type(error).__name__}: {message}"[:200]
    except Exception:  # noqa: BLE001 - an error of the host's own that cannot say what it is
        return type(error).__name__


def _path() -> str:
    try:
        return str(conf.OUTBOX_PATH)
    except Exception as error:  # noqa: BLE001 - settings that are missing or broken may be why the call is lost
        return f'(AI_COSTS["OUTBOX_PATH"] is not set: {type(error).__name__})'


def _clear_error() -> None:
    """Forget the current error, for an event was kept; earlier losses can be noted now."""
    global _current_error
    _current_error = ""
    note_losses()


def note_losses() -> None:
    """Add the losses to the count that outlives this process. They stay in memory if that fails."""
    global _is_noting
    with _lock:
        if _is_noting:
            return  # the garbage collector brought a loss in the middle: the loop below takes it along
        _is_noting = True
        try:
            while _losses:
                some = dict(_losses)
                outbox().note_losses(some)
                for reason, calls in some.items():
                    _losses[reason] -= calls
                    if not _losses[reason]:
                        del _losses[reason]
        except Exception as error:  # noqa: BLE001 - invalid settings, too: they are counted all the same
            # The first loss of each reason was logged.
            logger.debug("Losses could not be noted: %s", error)
        finally:
            _is_noting = False


def _report_unnoted_losses() -> None:
    with _lock:
        left = _losses.total()
    if left:
        logger.error("%d AI calls could not be recorded by this process, and the loss could not be noted.", left)


atexit.register(_report_unnoted_losses)


def _close_outbox() -> None:
    """Let a process that ends look once more whether its journal is still there."""
    try:
        if outbox.cache_info().currsize:
            outbox().close()
    except OSError as error:
        logger.error("The outbox could not be closed; its last events may be lost: %s", error)


atexit.register(_close_outbox)


def health() -> Health:
    """The backlog, the losses of this process and those noted by all others, and the current error."""
    box = outbox()
    with _lock:
        unnoted = _losses.total()
    kept = len(quarantine.quarantined(box.path))
    try:
        backlog = box.backlog()
        return Health(backlog, lost=unnoted + backlog.lost, error=_current_error, quarantined=kept, size=box.size())
    except OSError as error:
        return Health(None, unnoted + _noted_losses(box), f"{type(error).__name__}: {error}", quarantined=kept)


def _noted_losses(box: Outbox) -> int:
    try:
        return box.lost()
    except OSError:
        return 0  # the same error keeps the outbox from being read, and is shown


def _forget_losses() -> None:
    """In a forked child: another thread may have held the lock, and the parent notes its own losses."""
    global _lock, _is_noting
    _lock, _is_noting = threading.RLock(), False
    _losses.clear()


os.register_at_fork(after_in_child=_forget_losses)
