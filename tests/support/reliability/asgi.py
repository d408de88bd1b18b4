"""`config.asgi` with the addresses of `served`."""

from django.conf import settings

from config.asgi import application

settings.ROOT_URLCONF = "tests.support.reliability.served"

__all__ = ["application"]
