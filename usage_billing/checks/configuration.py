"""Checks the keys and values of the dict `AI_COSTS` in the project's settings."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.utils.module_loading import import_string

from usage_billing.conf import DEFAULTS, conf
from usage_billing.models import database

DRAINS = ("thread", "off")
NUMBERS = (
    "OUTBOX_MAX_MB",
    "TRUSTED_PROXIES",
    "RETENTION_MONTHS",
    "METRICS_ORGANIZATIONS",
    "PROXY_MAX_BODY_MB",
    "PROXY_TIMEOUT_S",
)


@register(Tags.compatibility)
def settings_are_understood(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error for each key that does not exist, and for each value that cannot be used."""
    values = getattr(settings, "AI_COSTS", {})
    if not isinstance(values, Mapping):
        return [_error("AI_COSTS is not a dict.", "See docs/settings.md.")]
    found: list[CheckMessage] = []
    for name, value in values.items():
        if name not in DEFAULTS:
            nearest = difflib.get_close_matches(str(name), DEFAULTS, 1)
            hint = f"Did you mean {nearest[0]}?" if nearest else "docs/settings.md lists all of them."
            found.append(_error(f"AI_COSTS has no setting {name!r}.", hint))
        elif name in NUMBERS and not (value is None or (isinstance(value, int) and value >= 0)):
            found.append(_error(f'AI_COSTS["{name}"] is {value!r}.', "Set a whole number, 0 or more."))
    models = conf.DEPLOYMENTS
    if not isinstance(models, Mapping) or not all(isinstance(text, str) for pair in models.items() for text in pair):
        found.append(_error(f'AI_COSTS["DEPLOYMENTS"] is {models!r}.', "Set a dict: deployment → model."))
    keys = conf.ENCRYPTION_KEYS
    if keys is not None and not (isinstance(keys, list | tuple) and all(isinstance(key, str) and key for key in keys)):
        # The value is secret, and is not shown.
        found.append(_error('AI_COSTS["ENCRYPTION_KEYS"] is no list of texts.', "Set a list of long texts, or None."))
    if not isinstance(conf.ALERTS_ALLOW_PRIVATE_ADDRESSES, bool):
        value = conf.ALERTS_ALLOW_PRIVATE_ADDRESSES
        found.append(_error(f'AI_COSTS["ALERTS_ALLOW_PRIVATE_ADDRESSES"] is {value!r}.', "Set True or False."))
    if not str(conf.TELEGRAM_URL).startswith(("https://", "http://")):
        found.append(_error(f'AI_COSTS["TELEGRAM_URL"] is {conf.TELEGRAM_URL!r}.', "Set an address: https://…"))
    if conf.DRAIN not in DRAINS:
        found.append(_error(f'AI_COSTS["DRAIN"] is {conf.DRAIN!r}.', f"Set one of {', '.join(DRAINS)}."))
    if conf.DATABASE and conf.DATABASE not in connections:
        found.append(
            _error(f'AI_COSTS["DATABASE"] is {conf.DATABASE!r}.', f"Set one of {', '.join(settings.DATABASES)}.")
        )
    if conf.INSTRUMENT and not apps.is_installed("ai_clients"):
        found.append(_error('AI_COSTS["INSTRUMENT"] has no effect.', 'Add "ai_clients" to INSTALLED_APPS.'))
    if conf.ORGANIZATION_RESOLVER:
        try:
            import_string(conf.ORGANIZATION_RESOLVER)
        except ImportError as error:
            found.append(_error(f'AI_COSTS["ORGANIZATION_RESOLVER"]: {error}.', "Name a function by its dotted path."))
    return found


@register(Tags.security, deploy=True)
def database_keeps_tenants_apart(**_kwargs: Any) -> list[CheckMessage]:
    """Return a warning if the ledger is in PostgreSQL and row-level security is off."""
    if database.connection.vendor != "postgresql" or conf.ROW_LEVEL_SECURITY:
        return []
    return [
        Warning(
            "PostgreSQL does not enforce which usage records a person may see; only the views do.",
            hint='Run `manage.py secure_database`, and set AI_COSTS["ROW_LEVEL_SECURITY"] = True: docs/security.md.',
            id="usage_billing.W032",
        )
    ]


def _error(message: str, hint: str) -> Error:
    return Error(message, hint=hint, id="usage_billing.E012")
