"""Provider keys: who saves them, and which one a call uses."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection
from django.utils import translation
from pytest_django import Settings

from tests.support import factories
from tests.support.configure import configure
from usage_billing.auth import provider_keys
from usage_billing.auth.provider_keys import secret_for
from usage_billing.budgets.access import NotAllowedError
from usage_billing.models import Organization, ProviderKey
from usage_billing.models.encryption import DecryptionError
from usage_billing.tenancy.scope import EVERYTHING, Scope, of_organization, scoped

pytestmark = pytest.mark.django_db

SECRET = "sk-proj-0123456789abcdef"


def saved(
    org: Organization | None, secret: str = SECRET, *, provider: str = "openai", scope: Scope = EVERYTHING
) -> ProviderKey:
    return provider_keys.save(scope=scope, by="boss", org=org, provider=provider, secret=secret)


def in_the_database(key: ProviderKey) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM usage_provider_key WHERE id = %s", [key.pk])
        return str(cursor.fetchone()[0])


class Clock:
    now = 1_000_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(provider_keys, "time", clock)
    return clock


def test_a_key_is_encrypted_and_only_its_end_is_shown() -> None:
    org = factories.organization()
    key = saved(org, f"  {SECRET}\n")
    assert (key.hint, key.by, key.org) == ("cdef", "boss", org)
    assert SECRET not in in_the_database(key)
    assert secret_for(org.pk, "openai") == SECRET
    replaced = saved(org, "sk-proj-another-key-9999")
    assert (replaced.pk, replaced.hint) == (key.pk, "9999")
    assert secret_for(org.pk, "openai") == "sk-proj-another-key-9999"  # at once in this process
    assert saved(org, "short-key").hint == ""


def test_an_organisation_s_own_key_comes_before_that_of_all() -> None:
    org, other = factories.organization(), factories.organization()
    saved(None, "sk-of-all-organisations")
    own = saved(org, "sk-of-this-organisation")
    assert secret_for(org.pk, "openai") == "sk-of-this-organisation"
    assert secret_for(other.pk, "openai") == secret_for(None, "openai") == "sk-of-all-organisations"
    assert secret_for(org.pk, "anthropic") is None
    assert saved(None, "sk-of-all-replaced-key").pk == ProviderKey.objects.get(org=None).pk
    provider_keys.remove(own, scope=EVERYTHING)
    provider_keys.remove(own, scope=EVERYTHING)
    assert secret_for(org.pk, "openai") == "sk-of-all-replaced-key"


@pytest.mark.parametrize(
    ("provider", "secret", "field", "text"),
    [
        ("gemini", SECRET, "provider", "There is no such provider. Choose one of these: openai, anthropic."),
        ("openai", " ", "secret", "Paste the provider's key."),
        ("openai", "two words", "secret", "This is no key"),
        ("openai", "sk-line\nbreak-in-it", "secret", "This is no key"),
        ("openai", "sk-" + "ё" * 20, "secret", "This is no key"),
        ("openai", "sk-nul\0-in-the-middle", "secret", "This is no key"),
        ("openai", "s" * 501, "secret", "This is no key"),
        ("openai", "sk-admin-0123456789abcdef", "secret", "This is an admin key"),
        ("anthropic", "sk-ant-admin01-0123456789abcdef", "secret", "This is an admin key"),
        ("openai", "aic_0123456789", "secret", "This is a service token of AI Costs."),
    ],
)
def test_what_is_no_key_is_refused(provider: str, secret: str, field: str, text: str) -> None:
    with translation.override("en"), pytest.raises(ValidationError) as refused:
        saved(None, secret, provider=provider)
    assert list(refused.value.message_dict) == [field]
    assert refused.value.message_dict[field][0].startswith(text)
    assert not ProviderKey.objects.exists()


def test_owners_save_those_of_their_organisation_alone() -> None:
    org, other = factories.organization(), factories.organization()
    foreign, of_all = saved(other), saved(None)
    with scoped(factories.owner(org)) as scope:
        own = saved(org, scope=scope)
        assert list(provider_keys.visible(scope)) == [own]
        for key in (foreign, of_all):
            with pytest.raises(NotAllowedError):
                saved(key.org, scope=scope)
            with pytest.raises(NotAllowedError):
                provider_keys.remove(key, scope=scope)
        # What the proxy's process asks for is not narrowed by a scope that it happens to be in.
        assert secret_for(other.pk, "openai") == SECRET
        provider_keys.remove(own, scope=scope)
    assert not ProviderKey.objects.filter(org=org).exists()
    with scoped(factories.member(org)) as scope:
        assert not provider_keys.visible(scope)
        with pytest.raises(NotAllowedError):
            saved(org, scope=scope)
    assert set(provider_keys.visible(EVERYTHING)) == {foreign, of_all}


def test_a_key_is_read_at_most_once_in_five_seconds(
    clock: Clock, django_assert_num_queries: Any, settings: Settings
) -> None:
    configure(settings, ROW_LEVEL_SECURITY=False)
    saved(None)
    with django_assert_num_queries(1):
        assert [secret_for(1, "openai") for _ in range(100)] == [SECRET] * 100
    ProviderKey.objects.all().delete()  # by another process
    clock.now += provider_keys.RECHECK_S
    assert secret_for(1, "openai") is None


def test_while_the_database_is_away_the_last_known_key_holds_for_an_hour(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saved(None)
    assert secret_for(1, "openai") == SECRET

    def away(*_: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(provider_keys, "_read", away)
    clock.now += provider_keys.AWAY_S - 1
    assert secret_for(1, "openai") == SECRET
    assert "the last known key of openai is used" in caplog.text
    assert SECRET not in caplog.text
    with pytest.raises(OperationalError):
        secret_for(2, "openai")
    clock.now += 1
    with pytest.raises(OperationalError):
        secret_for(1, "openai")


def test_a_new_encryption_key_leaves_saved_keys_readable_and_saving_them_again_drops_the_old(
    settings: Settings,
) -> None:
    configure(settings, ENCRYPTION_KEYS=["old"])
    org = factories.organization()
    key = saved(org)
    configure(settings, ENCRYPTION_KEYS=["new", "old"])
    provider_keys.forget()
    assert secret_for(org.pk, "openai") == SECRET
    before = in_the_database(key)
    saved(org)
    assert in_the_database(key) != before
    configure(settings, ENCRYPTION_KEYS=["new"])
    provider_keys.forget()
    assert secret_for(org.pk, "openai") == SECRET
    configure(settings, ENCRYPTION_KEYS=["other"])
    provider_keys.forget()
    with pytest.raises(DecryptionError, match="ENCRYPTION_KEYS"):
        secret_for(org.pk, "openai")
    assert provider_keys.visible(of_organization(org.pk)).get().hint == "cdef"  # the page goes on working
