"""The WSGI application, for a production server such as gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

from config.serving import refuse_debug, require_secret_key, require_sound_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
refuse_debug()
require_secret_key()
require_sound_settings()
