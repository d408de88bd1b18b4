"""A column whose text is encrypted: secrets of channels, keys of providers.

Encrypted by Fernet (AES-128-CBC and HMAC-SHA256, https://github.com/fernet/spec) under keys derived from
`AI_COSTS["ENCRYPTION_KEYS"]`. The first encrypts, all decrypt: put a new key first, save each secret once, then drop
the old one.
"""

from __future__ import annotations

import base64
import functools
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.utils.crypto import salted_hmac

from usage_billing.conf import conf

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

    _Text = models.TextField[Any, Any]
else:
    _Text = models.TextField  # Django's own has no parameters

_SALT = "usage_billing.models.encryption"


class DecryptionError(Exception):
    """Raised when no key decrypts a value. The text says what to do."""


def encrypt(text: str) -> str:
    """Encrypt with the first key. Raises `ImproperlyConfigured` without a key."""
    return _fernet(_secrets()).encrypt(text.encode()).decode("ascii")


def decrypt(token: str) -> str:
    """Decrypt with whichever key fits. Raises `DecryptionError`, and `ImproperlyConfigured` without a key."""
    # Processes that only record never need the library.
    from cryptography.fernet import InvalidToken

    try:
        return _fernet(_secrets()).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise DecryptionError(
            "A secret in the database was encrypted with another key. Write the secret again, or add the earlier key to"
            ' the end of AI_COSTS["ENCRYPTION_KEYS"], an earlier SECRET_KEY to SECRET_KEY_FALLBACKS.'
        ) from error


def _secrets() -> tuple[str, ...]:
    """The texts that keys are derived from; the first encrypts."""
    given = conf.ENCRYPTION_KEYS
    found = tuple((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS) if given is None else given)
    if not found:
        raise ImproperlyConfigured(
            "This process has no key for secrets: set USAGE_ENCRYPTION_KEYS, or SECRET_KEY, as in the web's process."
        )
    return found


@functools.lru_cache(maxsize=4)
def _fernet(secrets: tuple[str, ...]) -> MultiFernet:
    """Any text can be a key: 32 bytes are derived from it by HMAC-SHA256."""
    from cryptography.fernet import Fernet, MultiFernet

    keys = [salted_hmac(_SALT, "", secret=each, algorithm="sha256").digest() for each in secrets]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


class Encrypted:
    """A value as it lies in the database. It never shows its text."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __repr__(self) -> str:
        return "<encrypted>"


class _DecryptedWhenRead(DeferredAttribute):
    """Decrypts when the attribute is read, so that a list of rows does not fail for one whose key is gone."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, Encrypted):
            value = instance.__dict__[self.field.attname] = decrypt(value.token)
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        """Without it, Python would read the instance's own dict, past `__get__`."""
        instance.__dict__[self.field.attname] = value


class EncryptedField(_Text):
    """A text that the database holds encrypted; an empty text stays empty.

    Reading the attribute raises `DecryptionError` if no key fits. Values cannot be searched for: the same text is
    encrypted differently each time.
    """

    descriptor_class = _DecryptedWhenRead

    def from_db_value(self, value: str | None, *_: Any) -> Encrypted | str | None:
        return Encrypted(value) if value else value

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Encrypted):
            return value.token
        text = super().get_prep_value(value)
        return encrypt(text) if text else text

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """A secret that nobody has read stays as it lies in the database, whatever key it has."""
        value = model_instance.__dict__.get(self.attname)
        return value if isinstance(value, Encrypted) else super().pre_save(model_instance, add)
