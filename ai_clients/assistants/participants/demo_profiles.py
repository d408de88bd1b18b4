"""Analyses of the demo's participants that have been run: their profiles, and the calls that made them.

The profiles are written here and not asked of a model: `seed_demo` calls nobody, and works without the simulator.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from ai_clients.assistants.models import Message, Participant
from ai_clients.assistants.participants.content_ids import CONTENT_TYPE, content_id_of
from ai_clients.assistants.participants.profiles import REQUEST_TYPE
from usage_billing.ledger import writer
from usage_billing.management.demo_data_usage import URLS, Counts, block
from usage_billing.models import Organization
from usage_billing.recording import Attribution, Event

NIGHTS_AGO = 2
"""When the analyses ran: whoever has written since is due for another."""
MODEL = "gpt-6-luna"
PROMPT_TOKENS, TOKENS_A_MESSAGE = 1100, 70


class DemoProfile(NamedTuple):
    role: Participant.Role
    activity: Participant.Activity
    tone: Participant.Tone
    interests: list[str]


_R, _A, _T = Participant.Role, Participant.Activity, Participant.Tone

PROFILES: dict[str, DemoProfile] = {
    "Анна Белова": DemoProfile(
        _R.LEADER, _A.HIGH, _T.FRIENDLY, ["походы", "северное сияние", "фотография", "организация выездов"]
    ),
    "Олег Дмитриев": DemoProfile(
        _R.EXPERT, _A.HIGH, _T.NEUTRAL, ["маршруты по Хибинам", "снаряжение", "карты и треки"]
    ),
    "Марина Ким": DemoProfile(_R.NEWCOMER, _A.MEDIUM, _T.FRIENDLY, ["первые походы", "мобильная фотография"]),
    "Игорь Пахомов": DemoProfile(_R.CRITIC, _A.MEDIUM, _T.CRITICAL, ["планирование походов", "безопасность"]),
    "Света Л.": DemoProfile(_R.OBSERVER, _A.LOW, _T.FRIENDLY, ["фотография"]),
    "Елена Ткач": DemoProfile(
        _R.EXPERT, _A.HIGH, _T.NEUTRAL, ["налоги для самозанятых", "бухгалтерский учёт", "законодательство"]
    ),
    "Вадим Орлов": DemoProfile(_R.NEWCOMER, _A.MEDIUM, _T.NEUTRAL, ["налоги для самозанятых", "доход за границей"]),
    "Тимур Ахметов": DemoProfile(_R.REGULAR, _A.MEDIUM, _T.IRONIC, ["чеки и касса", "коты"]),
    "Jonas Weber": DemoProfile(_R.REGULAR, _A.MEDIUM, _T.FRIENDLY, ["Layout", "mobile Ansicht"]),
    "Мария Фролова": DemoProfile(_R.HELPER, _A.MEDIUM, _T.FRIENDLY, ["типографика", "веб-дизайн", "шрифты"]),
}
"""Name → profile. Those who are not here have not been analysed yet."""


def create(now: datetime) -> str:
    """Give the demo's new participants their profiles, each with its call; what was made, in a sentence."""
    events = [event for org in _organizations() for event in _analyses(org, now)]
    writer.add(events)
    return f"Added {len(events)} analyses of participants." if events else ""


def _organizations() -> list[Organization]:
    """Return the organisations in which nobody has been analysed: what people did with the demo stays."""
    demo = Participant.objects.filter(external_id__startswith="demo-", name__in=PROFILES)
    analysed = Participant.objects.exclude(analysed_at=None).values("org")
    return list(Organization.objects.filter(pk__in=demo.values("org")).exclude(pk__in=analysed).order_by("pk"))


def _analyses(org: Organization, now: datetime) -> Iterator[Event]:
    night = (now - timedelta(days=NIGHTS_AGO)).astimezone(org.zone).replace(hour=3, minute=10, second=0, microsecond=0)
    participants = Participant.objects.filter(org=org, name__in=PROFILES).order_by("pk")
    for number, participant in enumerate(participants):
        at = night + timedelta(seconds=17 * number)
        messages = Message.objects.filter(org=org, participant=participant, sent_at__lt=at).count()
        if not messages:
            continue
        profile = PROFILES[participant.name]
        Participant.objects.filter(pk=participant.pk, org=org).update(**profile._asdict(), analysed_at=at)
        yield _call(org, participant, at, messages)


def _call(org: Organization, participant: Participant, at: datetime, messages: int) -> Event:
    """The call that the analysis made, attributed as `profiles.analyze_participant` does it."""
    duration_ms = 1900 + 40 * messages
    counts = Counts(PROMPT_TOKENS + TOKENS_A_MESSAGE * messages, 160 + 9 * messages)
    return Event(
        request_id=f"demo-profile-{org.slug}-{participant.external_id}",
        started_at=at.timestamp() - duration_ms / 1000,
        duration_ms=duration_ms,
        flavour="chat",
        url=URLS["chat"],
        status="succeeded",
        model=MODEL,
        usage=msgspec.Raw(msgspec.json.encode(block("chat", counts))),
        attribution=Attribution(
            org_id=org.pk,
            request_type=REQUEST_TYPE,
            content_id=content_id_of(participant),
            content_type=CONTENT_TYPE,
            metadata={
                "participant_id": participant.pk,
                "participant_name": participant.name,
                "message_count": messages,
                "duration_ms": duration_ms,
            },
            tags={"feature": "community", "team": "community", "env": "prod"},
        ),
    )
