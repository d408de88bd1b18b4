"""The service as a Django application: its admin of users and groups, and its checks before deployment."""

from django.apps import AppConfig


class ServiceConfig(AppConfig):
    name = "config"
    label = "ai_costs_service"

    def ready(self) -> None:
        from config.checks import keys, mail, serving, web  # noqa: F401  # registers them
