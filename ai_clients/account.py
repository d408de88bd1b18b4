"""Tells which account pays for a call, by the headers of its request and its answer.

OpenAI, API Overview, Debugging requests: the answer has `openai-organization`, and with project keys `openai-project`.
Anthropic, API overview, Response headers: `anthropic-organization-id`; and `anthropic-workspace-id`.
`BetaUserProfile` (Anthropic's SDK): `anthropic-user-profile-id` of the request names the customer who is billed.

An API key is never kept. Its fingerprint tells keys apart: HMAC-SHA256 with a key of the installation, so that nobody
who reads the ledger can try keys against it. Credentials that rotate get none, because they would look like a new key
every hour.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.encoding import force_bytes

from ai_clients.http_library import Headers, by_name
from usage_billing.conf import conf, has_django_settings

FINGERPRINT_DIGITS = 16
SALT = "ai_clients.account"
"""Makes the derived key another one than those that Django derives from the same `SECRET_KEY`."""


_OF_REQUEST = {
    b"authorization": "authorization",
    b"x-api-key": "api_key",
    b"api-key": "api_key",
    b"anthropic-user-profile-id": "user_profile",
    # The client asked for these; an answer that says otherwise wins.
    b"openai-organization": "organization",
    b"openai-project": "project",
    b"anthropic-workspace-id": "project",
}
_OF_RESPONSE = {
    b"openai-organization": "organization",
    b"openai-project": "project",
    b"anthropic-organization-id": "organization",
    b"anthropic-workspace-id": "project",
}
_LENGTHS = frozenset(map(len, _OF_REQUEST))
"""A request has about twenty headers, and their names come in any case: the length rules most of them out."""

_KEY = re.compile(rb"(?i:bearer) +((?:sk-(?!ant-oat)|ABSK|xai-|gsk_)\S+)")
"""Bearer tokens that are API keys, by their beginning: OpenAI, Anthropic, OpenRouter and gateways in their manner
(`sk-`; `sk-ant-oat` are OAuth tokens), Amazon Bedrock's long-term keys (`ABSK`; `bedrock-api-key-` expires within
twelve hours), xAI, Groq. Any other may be a token of an identity provider, which changes every hour."""
_AWS_KEY = re.compile(rb"AWS4-HMAC-SHA256 Credential=(AKIA[0-9A-Z]{12,124})/")
"""AWS, Signature Version 4: the access key id stands in the header. IAM, Unique identifiers: `AKIA` is a long-term key;
`ASIA` is a temporary one."""


def account_of(request_headers: Headers, response_headers: Headers | None) -> dict[str, str]:
    """Return `organization`, `project`, `api_key` (a fingerprint) and `user_profile`, as far as they are known.

    response_headers: None if no answer came.
    """
    return answered(asked(request_headers), {} if response_headers is None else by_name(response_headers))


def asked(request_headers: Headers) -> dict[str, str]:
    """Return what the request alone tells."""
    found = {
        _OF_REQUEST[name]: value
        for each, value in request_headers.raw
        if len(each) in _LENGTHS and (name := each.lower()) in _OF_REQUEST
    }
    fingerprint = _fingerprint(found.pop("api_key", b""), found.pop("authorization", b""))
    account = {name: value.decode("latin-1") for name, value in found.items() if value}
    if fingerprint:
        account["api_key"] = fingerprint
    return account


def answered(account: Mapping[str, str], told: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return the account that the request told, corrected by the headers of the answer (`by_name`)."""
    found = dict(account)
    fingerprint = found.pop("api_key", "")
    for name, field in _OF_RESPONSE.items():
        if value := told.get(name):
            found[field] = value.decode("latin-1")
    if fingerprint:
        found["api_key"] = fingerprint  # last, as in the events of before
    return found


MOST_KEYS = 256
"""How many keys' fingerprints a process keeps; then it starts over."""
_fingerprints: dict[bytes, str] = {}
"""SHA-256 of the credentials → fingerprint, so that no cache keeps a key longer than its client does. Without the
cache, a call takes 5 µs more: reading the setting and HMAC."""


def _fingerprint(api_key: bytes, authorization: bytes) -> str:
    """Return the fingerprint of the API key, else of the lasting part of the Authorization header; empty: none."""
    credentials = api_key or authorization
    if not credentials:
        return ""
    known = hashlib.sha256(credentials).digest()
    fingerprint = _fingerprints.get(known)
    if fingerprint is None:
        lasting, key = api_key or _key_in(authorization), _fingerprint_key()
        fingerprint = hmac.digest(key, lasting, "sha256").hex()[:FINGERPRINT_DIGITS] if key and lasting else ""
        if len(_fingerprints) >= MOST_KEYS:
            _fingerprints.clear()
        _fingerprints[known] = fingerprint
    return fingerprint


def _key_in(authorization: bytes) -> bytes:
    """Return the part of an Authorization header that stays the same as long as the credentials do; else nothing."""
    found = _KEY.match(authorization) or _AWS_KEY.match(authorization)
    return found[1] if found else b""


def _fingerprint_key() -> bytes:
    """Derive the key as `django.utils.crypto.salted_hmac` does; empty if the installation has no secret."""
    secret = conf.FINGERPRINT_KEY
    if secret is None and has_django_settings():
        try:
            secret = settings.SECRET_KEY
        except ImproperlyConfigured:  # settings of a script
            secret = ""
    return hashlib.sha256(SALT.encode() + force_bytes(secret)).digest() if secret else b""


def _forget(**_changed: Any) -> None:
    _fingerprints.clear()


setting_changed.connect(_forget)
