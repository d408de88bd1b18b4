"""Settings of AI Costs for one test."""

from __future__ import annotations

from typing import Any

from usage_billing.conf import DEFAULTS


def configure(settings: Any, **values: Any) -> None:
    """Set keys of `AI_COSTS`, and Django settings of other names; pytest-django's `settings` restores them."""
    settings.AI_COSTS = {**settings.AI_COSTS, **{name: value for name, value in values.items() if name in DEFAULTS}}
    for name in values.keys() - DEFAULTS.keys():
        setattr(settings, name, values[name])
