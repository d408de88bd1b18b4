"""The price list in use: the installed genai-prices', or a newer one that `update_prices` saved in a file.

The file is shared by all processes of the machine. Each looks at it at most once a minute, so that new prices need no
restart. It holds genai-prices' published JSON, and where and when that came from.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.core.signals import setting_changed
from genai_prices import data_snapshot
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    TieredPrices,
    _providers_from_raw,
)
from genai_prices.units import _get_registry

from usage_billing.conf import conf
from usage_billing.recording.private_files import make_folder, mode_in

logger = logging.getLogger(__name__)

INSTALLED = f"genai-prices {version('genai-prices')}"
CHECK_EVERY_S = 60.0
MOST_LOST = 0.1
"""The part of the known models that a newer list may lack: models are withdrawn one by one."""


class PriceListError(Exception):
    """Raised for a price list that is unreadable, or that cannot replace the present one. The message is a sentence."""


@dataclass
class PriceList(DataSnapshot):
    """A price list that was not installed with genai-prices, and the name that `price_source` gives it."""

    name: str = ""
    installed: str = INSTALLED
    """The package that was installed when the list was saved."""
    day: date | None = None
    """When the list was published, or fetched."""


def get_snapshot() -> DataSnapshot:
    """Return the price list in use."""
    return _use.current()


def generation() -> int:
    """Return how often this process has changed its list: a cache of prices has it in its key."""
    _use.notice(_use.current())
    return _use.generation


def name_of(snapshot: DataSnapshot) -> str:
    """Return the name of a price list, as `price_source` has it: `genai-prices 0.2.3+2026-11-27`."""
    return snapshot.name if isinstance(snapshot, PriceList) else INSTALLED


def day_of(snapshot: DataSnapshot) -> date | None:
    """Return the day on which a list was published; None for an installed one, whose package does not tell."""
    return snapshot.day if isinstance(snapshot, PriceList) else None


class _Use:
    """The list of the file as this process knows it."""

    def __init__(self) -> None:
        self.generation = 0
        self._noticed: DataSnapshot | None = None
        self.forget()

    def forget(self, **_changed: Any) -> None:
        """Look at the file again at the next call."""
        self.generation += 1
        self._look_at: float = 0
        self._signature: tuple[int, ...] | None = None
        self._of_file: PriceList | None = None
        self._replaced: PriceList | None = None

    def notice(self, snapshot: DataSnapshot) -> None:
        """Count a list that was changed elsewhere, by genai-prices' `set_custom_snapshot`."""
        if snapshot is not self._noticed:
            self._noticed = snapshot
            self.generation += 1

    def current(self) -> DataSnapshot:
        if self._replaced is not None:
            return self._replaced
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + CHECK_EVERY_S
            self._look()
        return self._of_file or data_snapshot.get_snapshot()

    def _look(self) -> None:
        """Read the file if it is another one than before. An unreadable file changes nothing, and the log says why."""
        path = Path(conf.PRICES_FILE)
        try:
            signature = _signature(path)
            if signature == self._signature:
                return
            self._signature = signature
            found = load(path)
        except FileNotFoundError:
            self.generation += self._of_file is not None
            self._signature = self._of_file = None
        except (OSError, PriceListError) as error:
            logger.error("The price list %s is not used: %s", path, error)
        else:
            # A newer package than the one that the file followed may have newer prices.
            is_sound = found.installed == INSTALLED or is_newer(found, data_snapshot.get_snapshot())
            self._of_file = found if is_sound else None
            self.generation += 1

    @contextmanager
    def replaced(self, snapshot: PriceList) -> Iterator[None]:
        self._replaced = snapshot
        self.generation += 1
        try:
            yield
        finally:
            self._replaced = None
            self.generation += 1


_use = _Use()
forget = _use.forget
replaced = _use.replaced
"""Within it, this process prices by another list, as `update_prices --dry-run` does."""
setting_changed.connect(_use.forget)


def _signature(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


# ── Lists ────────────────────────────────────────────────────────────────────────────────────────────────────────


def parse(published: bytes, day: date) -> PriceList:
    """Read genai-prices' published JSON (an array of providers). Raises `PriceListError`."""
    try:
        raw = json.loads(published)
    except (ValueError, RecursionError) as error:
        raise PriceListError(f"It is not JSON: {str(error)[:200]}.") from error
    return _built(raw, day)


def _built(raw: Any, day: date) -> PriceList:
    if not isinstance(raw, list) or not raw:
        raise PriceListError("It is not an array of providers.")
    try:
        providers = _providers_from_raw(raw)
        for price in (price for provider in providers for model in provider.models for price in _prices(model)):
            _check(price)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        first = " ".join(str(error).split())[:300]
        raise PriceListError(
            f"{INSTALLED} cannot read it ({first}). If the list is sound, install a newer genai-prices."
        ) from error
    return PriceList(providers=providers, from_auto_update=True, name=f"{INSTALLED}+{day.isoformat()}", day=day)


def _check(price: ModelPrice) -> None:
    """Raise `ValueError` for a unit that the installed package does not know, and for a price that is none."""
    registry = _get_registry()
    for key, value in vars(price).items():
        try:
            registry.unit_for_price_key(key)
        except KeyError:
            raise ValueError(f"unknown unit {key}") from None
        amounts = [value.base, *(tier.price for tier in value.tiers)] if isinstance(value, TieredPrices) else [value]
        if any(amount is not None and not (amount.is_finite() and amount >= 0) for amount in amounts):
            raise ValueError(f"{key} is not a price")


def load(path: Path) -> PriceList:
    """Read a file that `save` wrote. Raises `OSError`, `PriceListError`."""
    try:
        content = json.loads(path.read_bytes())
        day, installed, raw = date.fromisoformat(content["day"]), content["genai_prices"], content["providers"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PriceListError(f"It is not a file of update_prices: {type(error).__name__}.") from error
    return replace(_built(raw, day), installed=installed)


def save(published: bytes, *, path: Path, day: date, source: str) -> None:
    """Save a list in place of the present one: a reader sees the old file or the new one. Raises `OSError`."""
    content = {"day": day.isoformat(), "source": source, "genai_prices": INSTALLED, "providers": json.loads(published)}
    make_folder(path.parent)
    draft, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(draft, "wb") as file:
            file.write(json.dumps(content, ensure_ascii=False).encode())
            os.fchmod(file.fileno(), mode_in(path.parent))
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    forget()


def saved_day(path: Path) -> date | None:
    """Return the day of the saved list; None if there is no readable one."""
    try:
        return date.fromisoformat(json.loads(path.read_bytes())["day"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


# ── Comparing ────────────────────────────────────────────────────────────────────────────────────────────────────

Model = tuple[str, str]
"""Provider and model, by genai-prices' ids."""


@dataclass(frozen=True)
class Difference:
    """How a list differs from the one before it. Models are `provider/model`."""

    new: Sequence[str]
    changed: Sequence[str]
    lost: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.lost)


def compare(before: DataSnapshot, after: DataSnapshot) -> Difference:
    old, new = _models(before), _models(after)
    return Difference(
        new=_names(new.keys() - old.keys()),
        changed=_names(key for key in new.keys() & old.keys() if new[key] != old[key]),
        lost=_names(old.keys() - new.keys()),
    )


def expect_successor(before: DataSnapshot, after: DataSnapshot) -> None:
    """Raise `PriceListError` if `after` is older than `before`, or lacks too much of it."""
    if lost := sorted({provider.id for provider in before.providers} - {provider.id for provider in after.providers}):
        raise PriceListError(f"It lacks providers that are known today: {', '.join(lost[:10])}.")
    old, new = _models(before).keys(), _models(after).keys()
    if (gone := len(old - new)) > MOST_LOST * len(old):
        raise PriceListError(f"It lacks {gone:,} of the {len(old):,} models that are known today.")
    if not is_newer(after, before):
        raise PriceListError(
            f"It is older than today's list: its newest price begins on {newest_price(after)}, "
            f"today's newest on {newest_price(before)}."
        )


def is_newer(after: DataSnapshot, before: DataSnapshot) -> bool:
    """Return whether `after` may follow `before`. Lists have no date; the newest day a price begins is close to it."""
    return newest_price(after) >= newest_price(before)


def newest_price(snapshot: DataSnapshot) -> date:
    """Return the latest day on which a price of the list begins."""
    days = (
        price.constraint.start_date
        for provider in snapshot.providers
        for model in provider.models
        for price in _dated(model)
        if isinstance(price.constraint, StartDateConstraint)
    )
    return max(days, default=date.min)


def _prices(model: ModelInfo) -> Iterator[ModelPrice]:
    """Yield all prices of a model, of any day and variant."""
    if isinstance(model.prices, ModelPrice):
        yield model.prices
    yield from (dated.prices for dated in _dated(model))


def _dated(model: ModelInfo) -> Iterator[ConditionalPrice | PriceVariant]:
    """Yield the prices of a model that may begin on a day."""
    if not isinstance(model.prices, ModelPrice):
        yield from model.prices
    yield from model.price_variants or ()


def changes_within_days(model: ModelInfo) -> bool:
    """Return whether a price of the model depends on the hour, as off-peak prices do."""
    return any(not isinstance(price.constraint, StartDateConstraint | None) for price in _dated(model))


def _models(snapshot: DataSnapshot) -> dict[Model, Any]:
    """Return what decides about the price of each model: its names, its provider's addresses, its prices."""
    return {
        (provider.id, model.id): (provider.api_pattern, model.match, model.prices, model.price_variants)
        for provider in snapshot.providers
        for model in provider.models
    }


def _names(models: Iterable[Model]) -> list[str]:
    return ["/".join(model) for model in sorted(models)]
