"""`config.wsgi` with the addresses of `served`."""

from config.wsgi import application
from django.conf import settings

settings.ROOT_URLCONF = "tests.reliability.served"

__all__ = ["application"]
