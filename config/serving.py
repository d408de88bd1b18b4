"""What a server must have that a command need not."""

from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from usage_billing.checks import SERVING


def refuse_debug() -> None:
    """A `.env` that development left behind must not show strangers the settings and the source, error by error."""
    if settings.DEBUG and not settings.ALLOW_DEBUG_SERVER:
        raise ImproperlyConfigured(
            "DEBUG is on: set DEBUG=0, in the environment or in the file .env. "
            "To serve with it all the same, set ALLOW_DEBUG_SERVER=1; `manage.py runserver` needs neither."
        )


def require_secret_key() -> None:
    """Refuse to serve with a key of this process alone: its sessions and tokens would be void in every other one."""
    if not settings.SECRET_KEY_IS_SET and not settings.DEBUG:
        raise ImproperlyConfigured("Set SECRET_KEY to a long random text, the same for all processes, and keep it.")


def require_sound_settings() -> None:
    """Refuse to serve where `manage.py check` would: servers start without it."""
    wrong = [message for message in run_checks(tags=[SERVING]) if message.is_serious()]
    if wrong:
        raise ImproperlyConfigured("\n".join(f"{message.msg} {message.hint}" for message in wrong))
