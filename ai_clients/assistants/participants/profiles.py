"""Asks a model for the profile in a participant's messages. It saves nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import pydantic
from django.contrib.auth.models import AbstractBaseUser

from ai_clients.assistants.calls.model_choice import model_for, within_budgets
from ai_clients.assistants.calls.structured import structured
from ai_clients.assistants.content.wording import one_line
from ai_clients.assistants.models import Message, Participant
from ai_clients.assistants.participants.content_ids import CONTENT_TYPE, content_id_of
from usage_billing.recording import usage_context

REQUEST_TYPE = "participant_enrichment"

MOST_INTERESTS = 8
LONGEST_INTEREST = 60
LONGEST_TEXT = 1500
"""How many letters of one message are read: longer ones are pasted, not written."""
ANSWER_TOKENS = 1500

INSTRUCTIONS = """\
Ты — аналитик сообщества. По сообщениям одного участника составь его профиль: им пользуются редактор и модератор, \
когда решают, кого позвать экспертом, кому ответить первым и о чём писать.

В материале — участник, сведения о его переписке (они посчитаны, им можно верить) и его сообщения от старых к новым. \
В поле in_reply_to — чужое сообщение, на которое он отвечает: оно нужно, чтобы понять ответ, но о самом участнике \
ничего не говорит.

Правила:
1. Суди только по тому, что участник написал сам. Чего в сообщениях нет, того не додумывай: лучше меньше интересов, но \
верных.
2. interests — от одного до восьми интересов, сначала самые заметные. Каждый — одно-три слова на языке сообщений, в \
начальной форме: «садоводство», «налоги для самозанятых». Не слишком общо («жизнь», «общение») и без оценок. Если ни \
один не виден, верни пустой список.
3. role — место в сообществе:
   leader — его мнение подхватывают, с ним соглашаются, он задаёт темы;
   expert — объясняет по существу, со знанием дела, приводит подробности и источники;
   helper — откликается на чужие просьбы, поддерживает, подсказывает, где искать;
   newcomer — осваивается: знакомится, спрашивает об основах;
   regular — участвует в разговорах на равных, без заметной особой роли;
   critic — чаще спорит, сомневается, указывает на ошибки;
   observer — пишет редко и коротко, больше читает.
   Если подходят две, выбери ту, за которую больше сообщений.
4. activity — по сведениям о переписке: high — пишет почти каждый день; medium — примерно раз в неделю и чаще; low — \
реже.
5. tone — преобладающий тон его собственных слов: friendly — доброжелательный; neutral — ровный, деловой; ironic — \
ироничный, шутливый; critical — недовольный, резкий по делу; aggressive — грубый, переходит на личности. Цитаты и \
чужие слова не в счёт.
6. Не делай выводов о здоровье, национальности, вере, политических взглядах и личной жизни: им в профиле не место."""


def _interests(given: list[str]) -> list[str]:
    """The interests without duplicates, as few and as short as the profile holds."""
    interests: dict[str, str] = {}
    for interest in given:
        line = one_line(interest, LONGEST_INTEREST)
        interests.setdefault(line.casefold(), line)
    return [interest for interest in interests.values() if interest][:MOST_INTERESTS]


class Profile(pydantic.BaseModel):
    """Профиль участника сообщества."""

    interests: Annotated[list[str], pydantic.AfterValidator(_interests)] = pydantic.Field(
        description="Интересы участника, от самых заметных; одно-три слова каждый"
    )
    role: Participant.Role = pydantic.Field(description="Место в сообществе")
    activity: Participant.Activity = pydantic.Field(description="Как часто пишет")
    tone: Participant.Tone = pydantic.Field(description="Преобладающий тон")


def analyze_participant(
    messages: Sequence[Message], participant: Participant, *, user: AbstractBaseUser | int | None = None
) -> Profile:
    """The profile that the messages show, oldest first or in any order. One call, charged to the organisation.

    `duration_ms` in the record's metadata is the time that this call took with the SDK's retries, up to the answer;
    `execution_time_ms` beside it is that of one attempt. Raises `structured.AnswerError`, and the SDK's own errors.
    """
    wanted = model_for(REQUEST_TYPE)
    began = time.perf_counter()
    with (
        usage_context(
            org=participant.org_id,
            user=user,
            request_type=REQUEST_TYPE,
            content_id=content_id_of(participant),
            content_type=CONTENT_TYPE,
            metadata={
                "participant_id": participant.pk,
                "participant_name": participant.name,
                "message_count": len(messages),
                "duration_ms": lambda: round((time.perf_counter() - began) * 1000),
            },
        ),
        within_budgets(wanted.provider, wanted.model) as choice,
    ):
        return structured(
            provider=choice.provider,
            model=choice.model,
            instructions=INSTRUCTIONS,
            content=_material(sorted(messages, key=lambda message: message.sent_at), participant),
            output=Profile,
            max_tokens=ANSWER_TOKENS,
        )


def _material(messages: Sequence[Message], participant: Participant) -> str:
    """The messages as JSON, so that no text can pass for another message or for a fact."""
    return json.dumps(
        {
            "participant": participant.name,
            "correspondence": _facts(messages),
            "messages": [_shown(message) for message in messages],
        },
        ensure_ascii=False,
        indent=1,
    )


def _facts(messages: Sequence[Message]) -> dict[str, Any]:
    days = {message.sent_at.date() for message in messages}
    first, last = min(days), max(days)
    return {
        "messages": len(messages),
        "chats": len({message.chat_id for message in messages}),
        "from": str(first),
        "to": str(last),
        "days_with_messages": len(days),
        "days_in_all": (last - first + timedelta(days=1)).days,
        "answers_to_others": sum(message.answers_id is not None for message in messages),
    }


def _shown(message: Message) -> dict[str, str]:
    shown = {"sent_at": message.sent_at.isoformat(timespec="minutes"), "chat": message.chat_id}
    # A message never answers one of another organisation, whatever the row says.
    if message.answers is not None and message.answers.org_id == message.org_id:
        shown["in_reply_to"] = message.answers.text[:LONGEST_TEXT]
    return {**shown, "text": message.text[:LONGEST_TEXT]}
