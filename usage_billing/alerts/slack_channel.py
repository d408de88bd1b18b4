"""Alerts to an incoming webhook of Slack, or of Mattermost, Rocket.Chat, Zulip and others that take the same.

Slack's page “Sending messages using incoming webhooks”: a `text` for notifications, and blocks for the message.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from usage_billing.alerts import posting
from usage_billing.alerts.messages import Message
from usage_billing.conf import conf
from usage_billing.models import AlertChannel

LONGEST_HEADER = 150
NOTHING = "\u200b"
"""A space without width."""

HIDDEN = "/…"
"""Ends a target whose whole address is the channel's secret."""


def hide_address(channel: AlertChannel) -> None:
    """Keep the address as the channel's secret, and leave its host in `target`: whoever knows it may write there."""
    if not channel.target.endswith(HIDDEN):
        parts = urlsplit(channel.target)
        channel.secret, channel.target = channel.target, f"{parts.scheme}://{parts.netloc}{HIDDEN}"


def send(channel: AlertChannel, message: Message) -> None:
    """Raises `DeliveryError`."""
    body = json.dumps(_body(message), ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    url = channel.secret if channel.target.endswith(HIDDEN) else channel.target
    posting.check(posting.post(url, body, headers, allow_private=conf.ALERTS_ALLOW_PRIVATE_ADDRESSES))


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
    """Without links and mentions: those of Slack (`<…>`), and of Mattermost and others, which read Markdown.

    A name of an agent comes from whoever makes calls: `[Pay](https://…)` must be no link, and `@all` wake nobody.
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("](", f"]{NOTHING}(").replace("@", f"@{NOTHING}")
