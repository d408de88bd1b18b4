"""The budgets that act on calls, in a file beside the outbox: processes that make calls read it, without a database.

A budget's limit is not in it: a process asks the database for its part (`leases`). Who changes a budget publishes the
list; the drain does so every few seconds, for changes on other machines.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from django.core.signals import setting_changed
from django.db import Error

from usage_billing.conf import conf
from usage_billing.models import Budget
from usage_billing.models.organization import UNATTRIBUTED
from usage_billing.recording.private_files import make_folder, mode_in
from usage_billing.tenancy.scope import EVERYTHING, within

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How often a process looks whether the file is another one."""


class StopBudget(msgspec.Struct, frozen=True, omit_defaults=True):
    """A budget of the mode `stop` or `downgrade`, as far as it is needed before a call. `user_id`: as text.

    replacement: the cheaper model of the mode `downgrade`; empty for `stop`.
    """

    id: int
    org_id: int
    org_slug: str
    zone: str
    name: str
    window: str
    unit: str
    starts_on: date
    when_unavailable: str
    org_key: str = ""
    user_id: str = ""
    agent_id: str = ""
    request_type: str = ""
    ai_provider: str = ""
    ai_model: str = ""
    tag_key: str = ""
    tag_value: str = ""
    replacement: str = ""

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


class StopList:
    """The budgets that act on calls, by organisation: those that stop, and those that ask for a cheaper model.

    unattributed: the organisation of calls without one, if it has a budget that stops.
    """

    def __init__(self, budgets: Sequence[StopBudget]) -> None:
        self.of_org: dict[int, tuple[StopBudget, ...]] = {}
        self.replacing = [budget for budget in budgets if budget.replacement]
        self.org_of_key: dict[str, int] = {}
        self.unattributed: int | None = None
        for budget in budgets:
            if budget.replacement:
                continue
            self.of_org[budget.org_id] = (*self.of_org.get(budget.org_id, ()), budget)
            if budget.org_key:
                self.org_of_key[budget.org_key] = budget.org_id
            if budget.org_slug == UNATTRIBUTED:
                self.unattributed = budget.org_id


NO_BUDGETS = StopList(())


def path() -> Path:
    return Path(f"{conf.OUTBOX_PATH}.budgets")


def publish() -> None:
    """Write the list of the database into the file, if it is another one. An error is logged: the drain tries again."""
    try:
        write(from_database())
    except (Error, OSError) as error:
        logger.warning("The list of budgets beside the outbox is not brought up to date: %s", error)


def from_database() -> list[StopBudget]:
    """The active budgets that act on calls, of open organisations. One query, in the scope of everything."""
    acting = (Budget.Mode.STOP, Budget.Mode.DOWNGRADE)
    budgets = Budget.objects.filter(mode__in=acting, is_active=True, org__closed_at=None).select_related("org")
    with within(EVERYTHING):
        return [_of(budget) for budget in budgets.order_by("pk")]


def _of(budget: Budget) -> StopBudget:
    """What is needed of the budget before a call. Its organisation is read with it."""
    return StopBudget(
        id=budget.pk,
        org_id=budget.org_id,
        org_slug=budget.org.slug,
        org_key=budget.org.external_key or "",
        zone=budget.org.timezone,
        user_id="" if budget.user_id is None else str(budget.user_id),
        **{name: getattr(budget, name) for name in _SAME},
    )


_SAME = (
    "name", "window", "unit", "starts_on", "when_unavailable", "agent_id", "request_type", "ai_provider", "ai_model",
    "tag_key", "tag_value", "replacement",
)  # fmt: skip


def write(budgets: Sequence[StopBudget]) -> None:
    """Replace the file at once: a reader sees the old list or the new one. Raises `OSError`."""
    content, file = msgspec.json.encode(budgets), path()
    if _content(file) == content:
        return
    make_folder(file.parent)
    draft, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)
    try:
        with os.fdopen(draft, "wb") as opened:
            opened.write(content)
            os.fchmod(opened.fileno(), mode_in(file.parent))
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    forget()


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


_decode: Any = msgspec.json.Decoder(list[StopBudget]).decode


class _Reader:
    """The list as this process knows it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self, **_changed: Any) -> None:
        """Look at the file again at the next call."""
        self._look_at = 0.0
        self._signature: tuple[int, int, int] | None = None
        self._list: StopList | None = None

    def current(self) -> StopList | None:
        """The list; None if there is no file. A look at the file is a `stat`, once in `LOOK_EVERY_S`."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY_S
            self._look()
        return self._list

    def _look(self) -> None:
        file = path()
        try:
            status = os.stat(file)
            signature = (status.st_ino, status.st_mtime_ns, status.st_size)
            if signature != self._signature:
                self._list = StopList(_decode(file.read_bytes()))
                self._signature = signature
        except FileNotFoundError:
            self._list = self._signature = None
        except (OSError, msgspec.DecodeError) as error:
            logger.error("The list of budgets %s cannot be read, so an older one is used: %s", file, error)


_reader = _Reader()
current = _reader.current
forget = _reader.forget
setting_changed.connect(forget)
