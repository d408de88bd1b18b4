"""Participants, messages and content for tests, and a model's answer about them."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.contrib.auth.models import User
from django.utils import timezone

from ai_clients.assistants.digest.subscription import subscribe
from ai_clients.assistants.models import ContentPiece, Message, Participant
from usage_billing.models import Organization

_numbers = itertools.count(1)

PROFILE: dict[str, Any] = {"interests": ["походы", "карты"], "role": "expert", "activity": "high", "tone": "friendly"}


def participant(org: Organization, name: str = "Олег", **fields: Any) -> Participant:
    return Participant.objects.create(org=org, name=name, external_id=str(next(_numbers)), **fields)


def message(
    author: Participant, text: str = "Обновил трек с высотами.", *, sent_at: datetime | None = None, **fields: Any
) -> Message:
    number = next(_numbers)
    return Message.objects.create(
        org=fields.pop("org", author.org),
        participant=author,
        chat_id="Походы",
        external_id=str(number),
        text=text,
        # In the order of their numbers, and all before now.
        sent_at=sent_at or timezone.now() - timedelta(days=1) + timedelta(seconds=number),
        **fields,
    )


def talkative(org: Organization, name: str = "Олег", number: int = 1) -> Participant:
    """Create a participant with `number` messages."""
    author = participant(org, name)
    for count in range(number):
        message(author, f"{name} пишет в {count}-й раз")
    return author


def piece(org: Organization, title: str = "О картах", text: str = "Карта лжёт редко.", **fields: Any) -> ContentPiece:
    return ContentPiece.objects.create(org=org, title=title, text=text, **fields)


def subscriber(owner: User, org: Organization, email: str) -> User:
    """The owner with an e-mail address, subscribed to the organisation's digest."""
    owner.email = email
    owner.save()
    subscribe(user_id=owner.pk, org_id=org.pk)
    return owner


def answer(**fields: Any) -> str:
    """The model's answer as JSON, for the header X-Simulator-Text."""
    return quote(json.dumps(fields, ensure_ascii=False))


def profile(participant: Participant) -> dict[str, Any]:
    participant.refresh_from_db()
    return {name: getattr(participant, name) for name in PROFILE}
