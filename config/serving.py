"""Conditions for serving, which commands need not meet."""

from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

SERVING = "serving"
"""The tag of the checks that a server runs as it starts."""


def refuse_debug() -> None:
    """Refuse to serve with DEBUG: a `.env` left from development would show settings and source in error pages."""
    if settings.DEBUG and not settings.ALLOW_DEBUG_SERVER:
        raise ImproperlyConfigured(
            "DEBUG is on: set DEBUG=0, in the environment or in the file .env. "
            "To serve with it all the same, set ALLOW_DEBUG_SERVER=1; `manage.py runserver` needs neither."
        )


def require_secret_key() -> None:
    """Refuse to serve with a random key: sessions and tokens of this process would be invalid in every other."""
    if not settings.SECRET_KEY_IS_SET and not settings.DEBUG:
        raise ImproperlyConfigured("Set SECRET_KEY to a long random text, the same for all processes, and keep it.")


def require_sound_settings() -> None:
    """Refuse to serve when a check of this tag fails: servers start without `manage.py check`."""
    wrong = [message for message in run_checks(tags=[SERVING]) if message.is_serious()]
    if wrong:
        raise ImproperlyConfigured("\n".join(f"{message.msg} {message.hint}" for message in wrong))
