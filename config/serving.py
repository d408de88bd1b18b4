"""What a server must have that a command need not."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def require_secret_key() -> None:
    """Refuse to serve with a key of this process alone: its sessions and tokens would be void in every other one."""
    if not settings.SECRET_KEY_IS_SET and not settings.DEBUG:
        raise ImproperlyConfigured("Set SECRET_KEY to a long random text, the same for all processes, and keep it.")
