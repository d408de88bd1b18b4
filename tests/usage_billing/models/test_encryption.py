"""Encrypted columns, and keys that change."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from pytest_django import Settings

from tests.support.configure import configure
from usage_billing.models import AlertChannel
from usage_billing.models.encryption import DecryptionError, Encrypted, decrypt, encrypt


def in_the_database(channel: AlertChannel) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM usage_alert_channel WHERE id = %s", [channel.pk])
        return str(cursor.fetchone()[0])


def saved(name: str = "C", **fields: Any) -> AlertChannel:
    return AlertChannel.objects.create(name=name, kind="slack", target="https://example.com", **fields)


@pytest.mark.django_db
def test_the_database_never_has_the_text() -> None:
    channel = saved(secret="whsec_abc")
    assert "whsec_abc" not in in_the_database(channel)
    assert AlertChannel.objects.get(pk=channel.pk).secret == "whsec_abc"
    assert in_the_database(saved(name="Empty")) == ""


@pytest.mark.django_db
def test_a_value_that_no_key_decrypts_is_an_error_when_it_is_read(settings: Settings) -> None:
    configure(settings, ENCRYPTION_KEYS=["first"])
    channel = saved(secret="text")
    configure(settings, ENCRYPTION_KEYS=["other"])
    found = AlertChannel.objects.get(pk=channel.pk)  # a list of channels goes on working
    with pytest.raises(DecryptionError, match="ENCRYPTION_KEYS"):
        _ = found.secret
    assert "text" not in repr(AlertChannel.objects.values_list("secret", flat=True)[0])
    # Saving something else keeps what is there.
    before = in_the_database(channel)
    found.name = "Renamed"
    found.save()
    assert in_the_database(channel) == before
    # Written again, it is good again.
    found.secret = "new"
    found.save()
    assert AlertChannel.objects.get(pk=channel.pk).secret == "new"


def test_the_first_key_encrypts_and_all_decrypt(settings: Settings) -> None:
    configure(settings, ENCRYPTION_KEYS=["old"])
    token = encrypt("text")
    configure(settings, ENCRYPTION_KEYS=["new", "old"])
    assert decrypt(token) == "text"
    newer = encrypt("text")
    configure(settings, ENCRYPTION_KEYS=["old"])
    with pytest.raises(DecryptionError):
        decrypt(newer)


def test_without_keys_of_its_own_it_is_the_secret_key_and_its_fallbacks(settings: Settings) -> None:
    configure(settings, ENCRYPTION_KEYS=None, SECRET_KEY="before", SECRET_KEY_FALLBACKS=[])
    token = encrypt("text")
    configure(settings, SECRET_KEY="after", SECRET_KEY_FALLBACKS=["before"])
    assert decrypt(token) == "text"
    configure(settings, SECRET_KEY_FALLBACKS=[])
    with pytest.raises(DecryptionError):
        decrypt(token)


def test_a_process_without_a_key_says_so(settings: Settings) -> None:
    configure(settings, ENCRYPTION_KEYS=[])
    with pytest.raises(ImproperlyConfigured, match="USAGE_ENCRYPTION_KEYS"):
        encrypt("text")


@pytest.mark.parametrize("token", ["", "text", "gAAAAA"])
def test_plain_text_in_the_database_is_no_secret(token: str, settings: Settings) -> None:
    configure(settings, ENCRYPTION_KEYS=["key"])
    with pytest.raises(DecryptionError):
        decrypt(token)
    assert "text" not in repr(Encrypted("text"))
