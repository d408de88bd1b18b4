"""The ASGI application."""

import os

from django.core.asgi import get_asgi_application

from config.serving import refuse_debug, require_secret_key, require_sound_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_asgi_application()
refuse_debug()
require_secret_key()
require_sound_settings()
