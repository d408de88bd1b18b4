"""English pages, a superadmin's client and an organisation."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from usage_billing.models import Organization


@pytest.fixture
def superadmin(client: Client, settings: Any) -> Client:
    settings.LANGUAGE_CODE = "en"
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def acme() -> Organization:
    return Organization.objects.create(name="Acme", slug="acme", timezone="Europe/Moscow")
