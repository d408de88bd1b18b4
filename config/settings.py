"""Settings, read from the environment and, for development, from a `.env` file beside `manage.py`.

Every variable is listed in the README. A variable of the environment wins over the file.
"""

import contextlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from config import api_texts
from usage_billing.conf import DEFAULTS
from usage_billing.recording.private_files import create_private, make_folder, make_private

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

DEBUG: bool = env.bool("DEBUG", default=False)
# Servers other than `runserver` refuse to serve with DEBUG, unless this is set.
ALLOW_DEBUG_SERVER: bool = env.bool("ALLOW_DEBUG_SERVER", default=False)

# Commands work without a key: they sign nothing that outlives them. `config.wsgi` and `config.asgi` refuse to serve.
SECRET_KEY_IS_SET = bool(env.str("SECRET_KEY", default=""))
SECRET_KEY: str = env.str("SECRET_KEY", default="") or (
    "development-only-key-that-signs-nothing-of-value" if DEBUG else get_random_secret_key()
)

ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
CSRF_FAILURE_VIEW = "config.error_pages.csrf_failure"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "usage_billing",
    "ai_clients",
    "ai_clients.assistants",
    "config.apps.ServiceConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.content_security.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "usage_billing.auth.session_middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "usage_billing.recording.middleware.UsageContextMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "usage_billing.tenancy.middleware.ScopeMiddleware",
]

ROOT_URLCONF = "config.urls"
# `runserver` serves by it: with DEBUG on by Django's own, because `config.wsgi` refuses to.
WSGI_APPLICATION = None if DEBUG else "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def database() -> dict[str, Any]:
    """The database of DATABASE_URL; without it, SQLite under `var/`."""
    config: dict[str, Any] = env.db_url("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'db.sqlite3'}")
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["OPTIONS"] = {
            # A transaction that begins with a read fails at its first write with "database is locked" if another
            # writer was quicker. A transaction that begins as a writer waits (`timeout`, seconds).
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # A batch of calls changes more pages than SQLite's default cache of 2 MB holds (here: 64 MB).
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -64000;",
            **config.get("OPTIONS", {}),
        }
        name = str(config["NAME"])
        if not name.startswith((":memory:", "file:")):
            make_folder(Path(name).parent)
            # SQLite opens the empty file as a new database, and gives the files beside it the same mode.
            with contextlib.suppress(OSError):  # the first query reports why the database cannot be opened
                create_private(Path(name))
                for log in ("-wal", "-shm"):
                    make_private(Path(f"{name}{log}"))
    else:
        config.setdefault("CONN_MAX_AGE", 60)
        config["CONN_HEALTH_CHECKS"] = True
        if config["ENGINE"] == "django.db.backends.postgresql":
            # Time-outs for a silent server, in seconds and milliseconds: by default libpq waits for minutes.
            config["OPTIONS"] = {"connect_timeout": 5, "tcp_user_timeout": 30_000, **config.get("OPTIONS", {})}
    return config


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE: str = env.str("LANGUAGE_CODE", default="ru")
LANGUAGES = [("ru", _("Russian")), ("en", _("English"))]
# All strings are in one catalogue, those of `config` and `templates` too.
LOCALE_PATHS = [BASE_DIR / "usage_billing" / "locale"]
TIME_ZONE: str = env.str("TIME_ZONE", default="Europe/Moscow")
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT: str = env.str("STATIC_ROOT", default=str(VAR_DIR / "static"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "config.static_files.StaticFiles"
    },
}


def rate(variable: str, default: str) -> str:
    """Read a rate in DRF's notation: requests per second, minute, hour or day."""
    value: str = env.str(variable, default=default)
    if not re.fullmatch(r"[1-9]\d{0,5}/(s|sec|second|m|min|minute|h|hour|d|day)", value):
        raise ImproperlyConfigured(
            f"{variable}={value!r} is not a rate. Write a number from 1 to 999999, a slash, and sec, min, hour or day: "
            f"{default}"
        )
    return value


# The API's views name everything else themselves (`usage_billing.api.base`).
REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "AI Costs",
    "DESCRIPTION": api_texts.DESCRIPTION,
    "TAGS": api_texts.TAGS,
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    # The page's files come from here, not from another host.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "usage_billing.api.schema.as_answered",
    ],
}

# Counts the requests to the API. The default is each worker's own memory.
CACHES = {"default": env.cache("CACHE_URL", default="locmemcache://?max_entries=10000")}

# ── Log-in ───────────────────────────────────────────────────────────────────────────────────────────────────────
BEHIND_TLS_PROXY: bool = env.bool("BEHIND_TLS_PROXY", default=False)
# Failures of one name from one address, after which it has to wait.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=10)
# Further attempts do not prolong the wait.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_HANDLER = "usage_billing.auth.axes_handler.LoginThrottling"
AXES_LOCKOUT_CALLABLE = "usage_billing.auth.login_throttling.locked_out"
AXES_CLIENT_IP_CALLABLE = "usage_billing.auth.client_address.client_address"
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# Sessions with their user, so that people can list and end them; the database holds hashes of the keys.
SESSION_ENGINE = "usage_billing.auth.session_store"
# A link to choose a new password is good for so many seconds.
PASSWORD_RESET_TIMEOUT = int(timedelta(hours=3).total_seconds())
# ── AI Costs ─────────────────────────────────────────────────────────────────────────────────────────────────────
_retention = env.str("USAGE_RETENTION_MONTHS", default="").strip()
if not re.fullmatch(r"\d*", _retention):
    raise ImproperlyConfigured("USAGE_RETENTION_MONTHS is a number of months, or empty: nothing is archived by itself.")
if (_proxies := env.int("TRUSTED_PROXIES", default=int(BEHIND_TLS_PROXY))) < 0:
    raise ImproperlyConfigured("TRUSTED_PROXIES is the number of proxies before this server: 0 or more.")

# Each key, and the others with their defaults: `usage_billing/conf.py` and docs/settings.md.
AI_COSTS: dict[str, Any] = {
    "OUTBOX_PATH": env.str("USAGE_OUTBOX_PATH", default=str(VAR_DIR / "outbox")),
    "OUTBOX_MAX_MB": env.int("USAGE_OUTBOX_MAX_MB", default=2048),
    "DRAIN": env.str("USAGE_DRAIN", default="thread"),
    "FINGERPRINT_KEY": env.str("USAGE_FINGERPRINT_KEY", default="") or None,
    "PRICES_FILE": env.str("USAGE_PRICES_FILE", default=""),
    "PRICES_URL": env.str("PRICES_URL", default=DEFAULTS["PRICES_URL"]),
    "INSTRUMENT": env.bool("AI_COSTS_INSTRUMENT", default=False),
    "ARCHIVE_DIR": env.str("USAGE_ARCHIVE_DIR", default=str(VAR_DIR / "archive")),
    "RETENTION_MONTHS": int(_retention) if _retention else None,
    "ROW_LEVEL_SECURITY": True,
    # The web logs in to PostgreSQL as that role itself.
    "GRANT_ALL_TABLES": True,
    "ROLE_PREFIX": env.str("USAGE_ROLE_PREFIX", default="usage"),
    "SCOPE_KEY": env.str("USAGE_SCOPE_KEY", default="") or (SECRET_KEY if SECRET_KEY_IS_SET or DEBUG else ""),
    "METRICS_TOKEN": env.str("METRICS_TOKEN", default=""),
    "METRICS_ORGANIZATIONS": env.int("METRICS_ORGANIZATIONS", default=DEFAULTS["METRICS_ORGANIZATIONS"]),
    "TRUSTED_PROXIES": _proxies,
    "API_RATE_USER": rate("API_RATE_USER", "600/min"),
    "API_RATE_TOKEN": rate("API_RATE_TOKEN", "6000/min"),
    "API_RATE_ANONYMOUS": rate("API_RATE_ANONYMOUS", "60/min"),
    "TOKEN_KEY": env.str("JWT_SIGNING_KEY", default="") or SECRET_KEY,
    "PUBLIC_URL": env.str("PUBLIC_URL", default="http://127.0.0.1:8000" if DEBUG else "").rstrip("/"),
    "EXCHANGE_RATES_URL": env.str("EXCHANGE_RATES_URL", default=DEFAULTS["EXCHANGE_RATES_URL"]),
    # A key that is made up at each start would decrypt nothing later.
    "ENCRYPTION_KEYS": env.list("USAGE_ENCRYPTION_KEYS", default=[]) or (None if SECRET_KEY_IS_SET or DEBUG else []),
    "ALERTS_ALLOW_PRIVATE_ADDRESSES": env.bool("ALERTS_ALLOW_PRIVATE_ADDRESSES", default=False),
    "TELEGRAM_URL": env.str("TELEGRAM_URL", default=DEFAULTS["TELEGRAM_URL"]),
    "PROXY_URLS": {**DEFAULTS["PROXY_URLS"], **env.dict("PROXY_URLS", default={})},
    "PROXY_MAX_BODY_MB": env.int("PROXY_MAX_BODY_MB", default=DEFAULTS["PROXY_MAX_BODY_MB"]),
    "PROXY_TIMEOUT_S": env.int("PROXY_TIMEOUT_S", default=DEFAULTS["PROXY_TIMEOUT_S"]),
    # Clients without a provider key talk to the simulator on loopback. In production a missing key must be an error.
    "SIMULATOR": env.bool("AI_SIMULATOR", default=DEBUG),
    "AGENT_MODELS": env.dict("AI_AGENT_MODELS", default={}),
    "MODELS": {**DEFAULTS["MODELS"], **env.dict("AI_MODELS", default={})},
    "RUNS_PER_USER": rate("AI_RUNS_PER_USER", "60/hour"),
    "RUNS_PER_ORGANIZATION": rate("AI_RUNS_PER_ORGANIZATION", "1000/day"),
    "CRON_SECRET": env.str("CRON_SECRET", default=""),
}

# ── E-mail ───────────────────────────────────────────────────────────────────────────────────────────────────────
# EMAIL_BACKEND, EMAIL_HOST and so on, from one URL: smtp+tls://user:password@host:587, consolemail://.
globals().update(env.email_url("EMAIL_URL", default="consolemail://" if DEBUG else "smtp://localhost:25"))
EMAIL_TIMEOUT = 30
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", default="webmaster@localhost")

# ── What a page may load and run ─────────────────────────────────────────────────────────────────────────────────
# Only this server's own files. The admin and the API's page need more: `config.content_security`.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# ── Security of a production server ──────────────────────────────────────────────────────────────────────────────
if not DEBUG:
    SECURE_SSL_REDIRECT: bool = env.bool("SECURE_SSL_REDIRECT", default=True)
    # Load balancers and monitors use plain HTTP from inside.
    SECURE_REDIRECT_EXEMPT = [r"^healthz/?$", r"^metrics/?$"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS_PROXY else None
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_COOKIES", default=SECURE_SSL_REDIRECT)
    SECURE_HSTS_SECONDS: int = env.int("SECURE_HSTS_SECONDS", default=365 * 24 * 3600 if SECURE_SSL_REDIRECT else 0)
    SECURE_HSTS_INCLUDE_SUBDOMAINS: bool = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
    SECURE_HSTS_PRELOAD: bool = env.bool("SECURE_HSTS_PRELOAD", default=False)
    # Subdomains and the preload list, which is hard to leave, are for the domain's owner to decide: off on purpose.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# The rest is as Django has it: HttpOnly and SameSite=Lax for the session, same-origin referrers and openers, no frames.
SESSION_COOKIE_AGE = int(timedelta(days=7).total_seconds())

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            # Escapes texts of callers and providers.
            "class": "usage_billing.monitoring.printable.OneLineFormatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "usage_billing": {"level": "INFO"},
        "ai_clients": {"level": "INFO"},
        # Logs a warning for each request that waits for a thread.
        "waitress.queue": {"level": "ERROR"},
    },
}

UNFOLD = {
    "SITE_TITLE": _("AI costs"),
    "SITE_HEADER": _("AI costs"),
    "SITE_SYMBOL": "payments",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("usage_billing/favicon.svg"),
        }
    ],
    # The sidebar already links to the page.
    "SITE_URL": None,
    "STYLES": [
        lambda _request: static("usage_billing/shell.css"),
        lambda _request: static("usage_billing/costs.css"),
    ],
    "SCRIPTS": [lambda _request: static("usage_billing/theme.js"), lambda _request: static("usage_billing/admin.js")],
    "SHOW_HISTORY": True,
    # The accent of the pages (shell.css), in the theme's eleven shades.
    "COLORS": {
        "primary": {
            "50": "#f5f5fd",
            "100": "#eeeefb",
            "200": "#dcdcf7",
            "300": "#c0c0f0",
            "400": "#a5a5ff",
            "500": "#6f6fe0",
            "600": "#4f4fc4",
            "700": "#4343ab",
            "800": "#37378a",
            "900": "#2d2d70",
            "950": "#1c1c47",
        }
    },
}
