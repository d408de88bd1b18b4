"""`config.wsgi` with the URLs of `served`."""

from django.conf import settings

from config.wsgi import application

settings.ROOT_URLCONF = "tests.support.reliability.served"

__all__ = ["application"]
