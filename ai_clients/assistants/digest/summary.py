"""The few sentences on top of a digest, by a model. They may hold no numbers: those come from the reports alone."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import pydantic
from django.utils.translation import gettext

from ai_clients.assistants.calls.model_choice import model_for, within_budgets
from ai_clients.assistants.calls.structured import InvalidAnswerError, structured
from ai_clients.assistants.content.wording import one_line
from ai_clients.assistants.digest.figures import REQUEST_TYPE, Line, Totals, WeeklyDigest
from usage_billing.recording import usage_context

logger = logging.getLogger(__name__)

MOST_OBSERVATIONS = 4
LONGEST_HEADLINE = 140
LONGEST_OBSERVATION = 300
MOST_LINES = 12
"""How many lines of each kind the model sees, the most expensive first."""
ANSWER_TOKENS = 2000

LANGUAGES = {"ru": "по-русски", "en": "по-английски"}

INSTRUCTIONS = """\
Ты пишешь вступление к еженедельному письму владельцам организации о том, во что обошлись вызовы ИИ. Письмо читают за \
минуту: руководитель хочет понять, что изменилось за неделю и надо ли что-то делать. Сами цифры, график и таблицы \
стоят в письме сразу под твоим текстом.

В материале — сводка в JSON: неделя (this_week) рядом с предыдущей (week_before): стоимость, число вызовов, ошибки, \
токены, по дням, по видам запросов, по агентам, по моделям и по людям. null вместо суммы значит, что стоимость \
неизвестна; calls_of_unknown_cost — сколько вызовов в сумму не вошло.

Правила:
1. headline — одно предложение: главное за неделю. Начни с дела, без приветствий и без «на этой неделе».
2. observations — от одного до четырёх наблюдений, каждое одним-двумя предложениями: за счёт чего изменилась стоимость \
(вид запросов, агент, модель, день), что непривычно (всплеск, рост ошибок, вызовы неизвестной стоимости), на что стоит \
посмотреть. Самое важное — первым. Не пересказывай таблицу и не повторяй headline.
3. Не пиши ни одной цифры и ни одного числа словами: ни сумм, ни процентов, ни дат, ни «вдвое», ни «треть». Величину \
передавай словами «заметно», «немного», «почти всё», «впервые». Цифры допустимы только внутри названий моделей, \
агентов, видов запросов и имён, переписанных из материала буква в букву.
4. Только то, что следует из сводки. О причинах, которых в ней нет, не догадывайся; советуй, только если совет прямо \
следует из данных.
5. Спокойный деловой тон, без восклицаний, канцелярита и похвал.
6. Пиши {language}."""


def _observations(given: list[str]) -> list[str]:
    lines = [one_line(text, LONGEST_OBSERVATION) for text in given]
    return [line for line in lines if line][:MOST_OBSERVATIONS]


class DigestSummary(pydantic.BaseModel):
    """Вступление к письму."""

    headline: Annotated[str, pydantic.AfterValidator(lambda text: one_line(text, LONGEST_HEADLINE))] = pydantic.Field(
        description="Главное за неделю, одно предложение без цифр"
    )
    observations: Annotated[list[str], pydantic.AfterValidator(_observations)] = pydantic.Field(
        description="Наблюдения, от самого важного, без цифр"
    )


def write_summary(digest: WeeklyDigest) -> DigestSummary:
    """The model's summary of the week, in the organisation's language. One call, charged to the organisation.

    Raises `structured.AnswerError`, among them one for a text with a number in it, and the SDK's own errors.
    """
    wanted = model_for(REQUEST_TYPE)
    with (
        usage_context(org=digest.org, request_type=REQUEST_TYPE, metadata={"week": str(digest.week.monday)}),
        within_budgets(wanted.provider, wanted.model) as choice,
    ):
        summary = structured(
            provider=choice.provider,
            model=choice.model,
            instructions=INSTRUCTIONS.format(language=LANGUAGES.get(digest.org.language, LANGUAGES["en"])),
            content=json.dumps(_material(digest), ensure_ascii=False, indent=1),
            output=DigestSummary,
            max_tokens=ANSWER_TOKENS,
        )
    texts = [summary.headline, *summary.observations]
    if invented := [text for text in texts if has_number(text, _names(digest))]:
        logger.warning("The digest's summary for %s has numbers of its own; left out.", digest.org.slug)
        raise InvalidAnswerError(
            gettext("The summary has numbers of its own in it: “%(text)s”") % {"text": invented[0]}
        )
    return summary


def has_number(text: str, names: Iterable[str]) -> bool:
    """Whether the text has a digit outside these names. A name of digits alone does not count."""
    for name in sorted(names, key=len, reverse=True):
        if any(map(str.isalpha, name)):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "", text)
    return any(letter.isnumeric() for letter in text)


def _names(digest: WeeklyDigest) -> set[str]:
    kinds = (digest.by_request_type, digest.by_agent, digest.by_model, digest.by_user)
    return {digest.org.name} | {line.name for lines in kinds for line in lines}


def _material(digest: WeeklyDigest) -> Mapping[str, Any]:
    days = zip(digest.week.days, digest.by_day, digest.by_day_before, strict=True)
    return {
        "organisation": digest.org.name,
        "days": f"{digest.week.monday} — {digest.week.sunday}",
        "total": _both(digest.now, digest.before),
        "by_day": [{"weekday": day.strftime("%A"), **_both(now, before)} for day, now, before in days],
        "by_request_type": _shown(digest.by_request_type),
        "by_agent": _shown(digest.by_agent),
        "by_model": _shown(digest.by_model),
        "by_person": _shown(digest.by_user),
    }


def _shown(lines: Iterable[Line]) -> list[dict[str, Any]]:
    return [{"name": line.name or None, **_both(line.now, line.before)} for line in list(lines)[:MOST_LINES]]


def _both(now: Totals, before: Totals) -> dict[str, Any]:
    return {"this_week": _figures(now), "week_before": _figures(before)}


def _figures(totals: Totals) -> dict[str, Any]:
    return {
        "usd": None if totals.cost_usd is None else f"{totals.cost_usd:.4f}",
        "calls": totals.requests_count,
        "failed": totals.failed_count,
        "tokens": totals.total_tokens,
        "calls_of_unknown_cost": totals.unpriced_usd_count,
    }
