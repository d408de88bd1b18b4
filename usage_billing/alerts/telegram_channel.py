"""Alerts by a Telegram bot (“Telegram Bot API”, method sendMessage). target: the chat; secret: the bot's token."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

from usage_billing.alerts import posting
from usage_billing.alerts.messages import Message, one_line
from usage_billing.alerts.posting import LONGEST_RETRY_AFTER, Answer
from usage_billing.alerts.problems import DeliveryError
from usage_billing.conf import conf
from usage_billing.models import AlertChannel

TOKEN = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{20,100}")
CHAT = re.compile(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{3,64}")
LONGEST_TEXT = 4096


def send(channel: AlertChannel, message: Message) -> None:
    """Raises `DeliveryError`."""
    token = channel.secret
    if not TOKEN.fullmatch(token):
        raise DeliveryError("The bot's token is missing or wrong. Write the one that @BotFather gave.", is_final=True)
    text = "\n".join(each for each in (message.subject, message.text, message.url) if each)
    asked = {
        "chat_id": channel.target.strip(),
        "text": text[:LONGEST_TEXT],
        "link_preview_options": {"is_disabled": True},
    }
    # The server is the installation's choice, not the channel's: it may be one in its own network.
    answer = posting.post(
        f"{str(conf.TELEGRAM_URL).rstrip('/')}/bot{token}/sendMessage",
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
        allow_private=True,
    )
    said = _read(answer)
    wait = _retry_after(said)
    if answer.status == 429 and wait is not None:
        raise DeliveryError("Telegram asks to wait (status 429).", retry_after=wait)
    posting.check(answer, one_line(str(said.get("description", "")), 200))
    if said.get("ok") is not True:
        raise DeliveryError("Telegram's answer is not understood. Check TELEGRAM_URL.")


def _read(answer: Answer) -> dict[str, Any]:
    try:
        said = json.loads(answer.body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _retry_after(said: dict[str, Any]) -> timedelta | None:
    parameters = said.get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return (
        min(timedelta(seconds=seconds), LONGEST_RETRY_AFTER)
        if isinstance(seconds, int) and 0 <= seconds < 10**6
        else None
    )
