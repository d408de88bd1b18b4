"""Settings of AI Costs: the dict `AI_COSTS` of the project's settings, over the defaults here.

    from usage_billing.conf import conf
    conf.DRAIN

Without Django settings (a script that only makes calls) the environment gives them: `AI_COSTS_OUTBOX_PATH` and so on.
Every key is described in docs/settings.md; `manage.py check` refuses unknown ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    # ── Recording ──
    # The outbox of this machine: a path of its own for each service. Default: `default_outbox_path()`.
    "OUTBOX_PATH": "",
    # "thread": every process that records also drains. "off": `manage.py drain_usage --follow` does it.
    "DRAIN": "thread",
    # The most that may wait in the outbox, in MB. Beyond it calls are made, counted as lost, and not kept.
    "OUTBOX_MAX_MB": 2048,
    # Dotted path of a function: an organisation object of the project's own → `OrganizationKey`.
    "ORGANIZATION_RESOLVER": "",
    # ── Database ──
    # Alias of the ledger's database. Default: where the project's routers send `UsageRecord`.
    "DATABASE": "",
    # Whether PostgreSQL enforces who sees what. It needs the roles that `manage.py secure_database` creates.
    "ROW_LEVEL_SECURITY": False,
    # The PostgreSQL roles are named after it: usage_web, usage_superadmin and so on. Roles belong to a whole server.
    "ROLE_PREFIX": "usage",
    # Seals the scopes that PostgreSQL shows rows to. None: SECRET_KEY. Empty: there is no key, and no scope.
    "SCOPE_KEY": None,
    # Labels of further apps whose tables with an `org_id` get row-level security too.
    "SECURED_APPS": (),
    # Whether the web's role may use all tables of the project: for a web that logs in to PostgreSQL as that role.
    "GRANT_ALL_TABLES": False,
    # ── Archive ──
    "ARCHIVE_DIR": "",
    # How many months before the current one `archive_usage` leaves in the ledger. None: only by explicit arguments.
    "RETENTION_MONTHS": None,
    # ── Web ──
    # Bearer token of /metrics. Without one, programs on this machine may read it.
    "METRICS_TOKEN": "",
    # How many proxies of the operator's own a request passes; X-Forwarded-For is read from the right by it.
    "TRUSTED_PROXIES": 0,
    # Where people reach the pages, for links in e-mails. Without one there are no links.
    "PUBLIC_URL": "",
    # Signs the API's tokens. None: SECRET_KEY.
    "TOKEN_KEY": None,
    "API_RATE_USER": "600/min",
    "API_RATE_ANONYMOUS": "60/min",
    # Failed log-ins of all names from one address, and of one name in a day, before it has to wait.
    "LOGIN_FAILURES_PER_ADDRESS": 50,
    "LOGIN_FAILURES_PER_ACCOUNT": 100,
    "PASSWORD_RESETS_PER_ACCOUNT": 3,
    "PASSWORD_RESETS_PER_ADDRESS": 20,
    # ── Exchange rates ──
    # The Bank of Russia, or a mirror of it.
    "EXCHANGE_RATES_URL": "https://www.cbr.ru/scripts",
    # ── Assistants ──
    # Clients without a provider key talk to the simulator on loopback. Never in production.
    "SIMULATOR": False,
    # Agent → provider:model that it runs on instead of its default.
    "AGENT_MODELS": {},
    # Request type → provider:model.
    "MODELS": {
        "participant_enrichment": "openai:gpt-6-luna",
        "weekly_digest": "anthropic:claude-sonnet-5-5",
        "custom_analysis": "openai:gpt-6.1-sol",
    },
    # How many runs a user, and an organisation, may start.
    "RUNS_PER_USER": "60/hour",
    "RUNS_PER_ORGANIZATION": "1000/day",
    # What cron sends to /api/cron/…; without one these addresses refuse.
    "CRON_SECRET": "",
}

ENVIRONMENT_PREFIX = "AI_COSTS_"


class Conf:
    """The settings as attributes, read at each access, so that tests may override `AI_COSTS`."""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(f"AI_COSTS has no setting {name!r}")
        value = given().get(name, DEFAULTS[name])
        if value == "" and name == "OUTBOX_PATH":
            return str(default_outbox_path())
        if value == "" and name == "ARCHIVE_DIR":
            return str(default_outbox_path().parent / "archive")
        return value


conf = Conf()


def has_django_settings() -> bool:
    """Whether this process runs in a Django project."""
    return settings.configured or bool(os.environ.get("DJANGO_SETTINGS_MODULE"))


def given() -> Mapping[str, Any]:
    """What the project, or without one the environment, sets."""
    if has_django_settings():
        found: Mapping[str, Any] = getattr(settings, "AI_COSTS", {})
        return found
    from_environment = {
        name: os.environ[ENVIRONMENT_PREFIX + name]
        for name in ("OUTBOX_PATH", "OUTBOX_MAX_MB")
        if ENVIRONMENT_PREFIX + name in os.environ
    }
    if "OUTBOX_MAX_MB" in from_environment:
        from_environment |= {"OUTBOX_MAX_MB": int(from_environment["OUTBOX_MAX_MB"])}  # type: ignore[dict-item]
    return from_environment | {"DRAIN": "off"}


def default_outbox_path() -> Path:
    """`var/outbox` below the project's BASE_DIR; without one, in the user's state directory (XDG)."""
    base = getattr(settings, "BASE_DIR", None) if has_django_settings() else None
    if base:
        return Path(base) / "var" / "outbox"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "ai-costs" / "outbox"
