"""The Django app of the clients: it has no models. In INSTALLED_APPS, it reads the setting INSTRUMENT."""

from django.apps import AppConfig


class AIClientsConfig(AppConfig):
    name = "ai_clients"

    def ready(self) -> None:
        from usage_billing.conf import conf

        if conf.INSTRUMENT:
            from ai_clients.instrumentation import instrument

            instrument()
