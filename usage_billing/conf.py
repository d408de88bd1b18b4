"""Settings of AI Costs: the dict `AI_COSTS` in the project's settings overrides the defaults below.

    from usage_billing.conf import conf
    conf.DRAIN

A script without Django settings reads them from the environment: `AI_COSTS_OUTBOX_PATH`, `AI_COSTS_OUTBOX_MAX_MB`,
`AI_COSTS_FINGERPRINT_KEY`.
docs/settings.md describes every key, and `manage.py check` refuses unknown ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

DEFAULTS: dict[str, Any] = {
    # ── Recording ──
    # Path of the outbox; its other files lie beside it. Give each service its own. Default: `default_outbox_path()`.
    "OUTBOX_PATH": "",
    # "thread": every process that records also drains. "off": `manage.py drain_usage --follow` does it.
    "DRAIN": "thread",
    # Quota of the outbox in MB. Beyond it, calls still run, but are only counted as lost.
    "OUTBOX_MAX_MB": 2048,
    # Whether all clients of both SDKs record, not only those of `ai_clients`, which must be an installed app then.
    "INSTRUMENT": False,
    # Dotted path of a function that turns an organisation of the project into an `OrganizationKey`.
    "ORGANIZATION_RESOLVER": "",
    # Key of the fingerprints of providers' API keys. None: derived from SECRET_KEY. Empty: no fingerprints.
    "FINGERPRINT_KEY": None,
    # ── Prices ──
    # File of the price list that `update_prices` saves; every process reads it. Default: prices.json beside the outbox.
    "PRICES_FILE": "",
    # genai-prices' newest published price list, or a mirror of it.
    "PRICES_URL": "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json",
    # ── Database ──
    # Alias of the ledger's database. Default: where the project's routers send `UsageRecord`.
    "DATABASE": "",
    # Whether PostgreSQL enforces row-level security. Needs the roles that `manage.py secure_database` creates.
    "ROW_LEVEL_SECURITY": False,
    # Prefix of the PostgreSQL roles (usage_web, …), which all databases of a server share.
    "ROLE_PREFIX": "usage",
    # Key that seals scopes for PostgreSQL. None: SECRET_KEY. Empty: no key, so no scope works.
    "SCOPE_KEY": None,
    # Labels of other apps whose tables with an `org_id` get row-level security too.
    "SECURED_APPS": (),
    # Whether the web's role may use all tables of the project. Needed if the web logs in as that role.
    "GRANT_ALL_TABLES": False,
    # ── Archive ──
    "ARCHIVE_DIR": "",
    # How many months before the current one `archive_usage` keeps in the ledger. None: it needs explicit arguments.
    "RETENTION_MONTHS": None,
    # ── Web ──
    # Bearer token of /metrics. Without a token, only programs on this machine may read it.
    "METRICS_TOKEN": "",
    # How many organisations /metrics names with their spend, and how many budgets. 0: none.
    "METRICS_ORGANIZATIONS": 50,
    # How many of your own proxies a request passes: that many entries of X-Forwarded-For, from the right, are trusted.
    "TRUSTED_PROXIES": 0,
    # Public address of the pages, for links in e-mails. Without it, e-mails have no links.
    "PUBLIC_URL": "",
    # Signs the API's tokens. None: SECRET_KEY.
    "TOKEN_KEY": None,
    "API_RATE_USER": "600/min",
    # Of each service token: reports, and usage that programs send in.
    "API_RATE_TOKEN": "6000/min",
    "API_RATE_ANONYMOUS": "60/min",
    # Failed log-ins per address, and per account and day, before further ones must wait.
    "LOGIN_FAILURES_PER_ADDRESS": 50,
    "LOGIN_FAILURES_PER_ACCOUNT": 100,
    "PASSWORD_RESETS_PER_ACCOUNT": 3,
    "PASSWORD_RESETS_PER_ADDRESS": 20,
    # ── Prices ──
    # Deployment (Azure, or a Bedrock inference profile), or host/deployment → the model behind it.
    "DEPLOYMENTS": {},
    # ── Exchange rates ──
    # The Bank of Russia, or a mirror of it.
    "EXCHANGE_RATES_URL": "https://www.cbr.ru/scripts",
    # ── Secrets ──
    # Texts that the keys of secrets in the database are derived from: the first encrypts, all decrypt. None: SECRET_KEY
    # and SECRET_KEY_FALLBACKS. An empty list: no key, so no secret can be read.
    "ENCRYPTION_KEYS": None,
    # ── Alerts ──
    # Whether webhooks may go to private addresses: this machine, its network, a cloud's metadata service.
    "ALERTS_ALLOW_PRIVATE_ADDRESSES": False,
    # Telegram's Bot API, or a server of one's own (https://github.com/tdlib/telegram-bot-api).
    "TELEGRAM_URL": "https://api.telegram.org",
    # ── Proxy ──
    # Provider → its address, without /v1. A key that is left out keeps its default.
    "PROXY_URLS": {"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com"},
    # The largest request, in MB: its body is held in memory until the answer has come.
    "PROXY_MAX_BODY_MB": 64,
    # For how long a provider may be silent, in seconds. The SDKs themselves wait 600 by default.
    "PROXY_TIMEOUT_S": 1800,
    # ── Assistants ──
    # Clients without a provider key call the simulator on loopback. Never in production.
    "SIMULATOR": False,
    # Agent → provider:model, in place of the agent's default.
    "AGENT_MODELS": {},
    # Request type → provider:model.
    "MODELS": {
        "participant_enrichment": "openai:gpt-6-luna",
        "weekly_digest": "anthropic:claude-sonnet-5-5",
        "custom_analysis": "openai:gpt-6.1-sol",
    },
    # How many runs one user, and one organisation, may start.
    "RUNS_PER_USER": "60/hour",
    "RUNS_PER_ORGANIZATION": "1000/day",
    # Bearer token that cron sends to /api/cron/…. Without a token, these addresses refuse every request.
    "CRON_SECRET": "",
}

ENVIRONMENT_PREFIX = "AI_COSTS_"


class Conf:
    """The settings as attributes. They are read at each access, so that tests may override `AI_COSTS`."""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(f"AI_COSTS has no setting {name!r}")
        value = given().get(name, DEFAULTS[name])
        if value == "" and name == "OUTBOX_PATH":
            return str(default_outbox_path())
        if value == "" and name == "ARCHIVE_DIR":
            return str(default_outbox_path().parent / "archive")
        if value == "" and name == "PRICES_FILE":
            return str(Path(self.OUTBOX_PATH).parent / "prices.json")
        return value


conf = Conf()


def has_django_settings() -> bool:
    """Whether this process runs in a Django project."""
    return settings.configured or bool(os.environ.get("DJANGO_SETTINGS_MODULE"))


def given() -> Mapping[str, Any]:
    """The keys that the project sets; without Django settings, those that the environment sets."""
    if has_django_settings():
        found = getattr(settings, "AI_COSTS", {})
        return found if isinstance(found, Mapping) else {}
    from_environment = {
        name: os.environ[ENVIRONMENT_PREFIX + name]
        for name in ("OUTBOX_PATH", "OUTBOX_MAX_MB", "FINGERPRINT_KEY")
        if ENVIRONMENT_PREFIX + name in os.environ
    }
    if "OUTBOX_MAX_MB" in from_environment:
        from_environment |= {"OUTBOX_MAX_MB": int(from_environment["OUTBOX_MAX_MB"])}  # type: ignore[dict-item]
    return from_environment | {"DRAIN": "off"}


def default_outbox_path() -> Path:
    """`var/outbox` below the project's BASE_DIR; without BASE_DIR, a folder in the user's state directory (XDG)."""
    if not has_django_settings():
        raise ImproperlyConfigured("AI_COSTS_OUTBOX_PATH is not set, and there are no Django settings.")
    base = getattr(settings, "BASE_DIR", None)
    if base:
        return Path(base) / "var" / "outbox"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "ai-costs" / "outbox"
