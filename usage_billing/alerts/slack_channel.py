"""Alerts to an incoming webhook of Slack, or of Mattermost, Rocket.Chat, Zulip and others that take the same.

Slack's page “Sending messages using incoming webhooks”: a `text` for notifications, and blocks for the message.
"""

from __future__ import annotations

import json
from typing import Any

from usage_billing.alerts import posting
from usage_billing.alerts.messages import Message
from usage_billing.conf import conf
from usage_billing.models import AlertChannel

LONGEST_HEADER = 150


def send(channel: AlertChannel, message: Message) -> None:
    """Raises `DeliveryError`."""
    body = json.dumps(_body(message), ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    posting.check(posting.post(channel.target, body, headers, allow_private=conf.ALERTS_ALLOW_PRIVATE_ADDRESSES))


def _body(message: Message) -> dict[str, Any]:
    text = _escaped(message.text) + (f"\n<{message.url}>" if message.url else "")
    header = message.subject[:LONGEST_HEADER]
    return {
        "text": f"*{_escaped(message.subject)}*\n{text}",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": header}},
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
        ],
    }


def _escaped(text: str) -> str:
    """The three characters that Slack reads as links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
