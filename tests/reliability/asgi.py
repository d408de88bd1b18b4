"""`config.asgi` with the addresses of `served`."""

from django.conf import settings

from config.asgi import application

settings.ROOT_URLCONF = "tests.reliability.served"

__all__ = ["application"]
