"""`config.asgi` with the URLs of `served`."""

from django.conf import settings

from config.asgi import application

settings.ROOT_URLCONF = "tests.support.reliability.served"

__all__ = ["application"]
