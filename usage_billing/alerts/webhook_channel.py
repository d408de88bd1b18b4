"""Alerts as signed JSON (https://www.standardwebhooks.com, version 1).

`webhook-id` stays the same over attempts, so a receiver takes each message once; `webhook-timestamp` is that of the
attempt; `webhook-signature` is HMAC-SHA256 over `id.timestamp.body`. The library of that name is not used for four
lines of HMAC.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from datetime import datetime

from usage_billing.alerts import posting
from usage_billing.alerts.messages import Message
from usage_billing.alerts.problems import DeliveryError
from usage_billing.conf import conf
from usage_billing.models import AlertChannel, AlertDelivery

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
"""Of a secret, as the specification recommends."""
WRONG_SECRET = f"The channel's secret is missing or wrong. Write {PREFIX} and 24 to 64 bytes in base64."


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def key_of(secret: str) -> bytes:
    """The bytes of a secret. Raises `ValueError`."""
    if not secret.startswith(PREFIX):
        raise ValueError(WRONG_SECRET)
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(WRONG_SECRET) from error
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(WRONG_SECRET)
    return key


def signature(key: bytes, id_: str, timestamp: int, body: bytes) -> str:
    signed = hmac.new(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode('ascii')}"


def send(channel: AlertChannel, delivery: AlertDelivery, message: Message, now: datetime) -> None:
    """Raises `DeliveryError`."""
    try:
        key = key_of(channel.secret)
    except ValueError as error:
        raise DeliveryError(str(error), is_final=True) from error
    id_, timestamp = f"msg_{delivery.message_id.hex}", int(now.timestamp())
    body = json.dumps(message.body, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(key, id_, timestamp, body),
    }
    posting.check(posting.post(channel.target, body, headers, allow_private=conf.ALERTS_ALLOW_PRIVATE_ADDRESSES))
