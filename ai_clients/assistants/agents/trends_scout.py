"""Finds growing trends in a set of posts, each with the posts that show it."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel, Field

from ai_clients.assistants.calls.structured import InvalidAnswerError
from ai_clients.assistants.runs.agent import Agent, Input, material
from ai_clients.assistants.runs.labels import Heading, Names, RowsOf

MOVEMENTS = Names(
    {"rising": _("rising"), "steady": _("steady"), "fading": _("fading"), "unclear": _("unclear")},
    {"rising": "good", "fading": "warning"},
)


class Post(Input):
    text: Annotated[str, Field(min_length=1, max_length=10_000, title=gettext_noop("Text")), Heading()]
    date: Annotated[
        datetime.date | None, Field(title=gettext_noop("Date"), description=gettext_noop("When it appeared"))
    ] = None
    source: Annotated[
        str, Field(max_length=200, title=gettext_noop("Source"), description=gettext_noop("Channel or author"))
    ] = ""
    reactions: Annotated[
        int | None,
        Field(ge=0, title=gettext_noop("Reactions"), description=gettext_noop("Likes, answers and shares together")),
    ] = None


class PostsToRead(Input):
    posts: Annotated[
        list[Post],
        Field(min_length=1, max_length=200, title=gettext_noop("Posts"), description=gettext_noop("The posts to read")),
    ]
    topic: Annotated[
        str,
        Field(max_length=500, title=gettext_noop("Topic"), description=gettext_noop("What to look for; all, if empty")),
    ] = ""
    platform: Annotated[
        str, Field(max_length=50, title=gettext_noop("Platform"), description=gettext_noop("Such as telegram or vk"))
    ] = ""


class Trend(BaseModel):
    name: Annotated[str, Field(title=gettext_noop("Trend"), description="Название тренда, до семи слов"), Heading()]
    summary: Annotated[
        str, Field(title=gettext_noop("Summary"), description="Что происходит и почему это важно, две-три фразы")
    ]
    movement: Annotated[
        Literal["rising", "steady", "fading", "unclear"],
        Field(title=gettext_noop("Movement"), description="Куда движется"),
        MOVEMENTS,
    ]
    posts: Annotated[
        list[int],
        Field(title=gettext_noop("Posts"), description="Номера публикаций, в которых он виден"),
        RowsOf("posts"),
    ]
    ideas: Annotated[list[str], Field(title=gettext_noop("Ideas"), description="Одна–три идеи своих публикаций")]


class TrendReport(BaseModel):
    trends: Annotated[
        list[Trend], Field(title=gettext_noop("Trends"), description="До семи трендов, самые заметные первыми")
    ]
    summary: Annotated[str, Field(title=gettext_noop("Summary"), description="Картина в целом, три-четыре фразы")]


INSTRUCTIONS = """\
Ты — аналитик контент-команды. Найди тренды в публикациях. Материал — JSON: topic — что искать (если пусто, ищи \
всё); posts — публикации: номер (number), текст (text), дата (date), источник (source), число реакций (reactions).

- Тренд — тема, формат или настроение, которые видны хотя бы в двух публикациях разных источников или, если источник \
один, повторяются во времени. Единичный громкий пост — не тренд; стоит упоминания — скажи о нём в summary.
- Каждый тренд подтверждай номерами публикаций. Номеров, которых нет в материале, не пиши.
- movement определяй по датам и реакциям. Если дат нет или их мало — unclear: не угадывай.
- Одно и то же разными словами — один тренд. Рекламу и перепечатки одного текста считай за одну публикацию.
- Идеи — конкретные: тема, угол и формат, которые команда может сделать на этой неделе, без пересказа чужих постов.
- Пиши по-русски, без общих слов вроде «растёт интерес к контенту». Трендов нет — верни пустой список и объясни \
почему."""


def read(agent: Agent[PostsToRead, TrendReport], given: PostsToRead) -> TrendReport:
    posts = [{"number": number, **post.model_dump(exclude_none=True)} for number, post in enumerate(given.posts, 1)]
    report = agent.ask(material({"topic": given.topic, "posts": posts}), agent.output)
    if any(not 1 <= number <= len(given.posts) for trend in report.trends for number in trend.posts):
        raise InvalidAnswerError(gettext("The model names posts that it was not given. Try again."))
    return report


AGENT = Agent(
    id="trends_scout",
    name=_("Trends scout"),
    description=_("Reads a set of posts and tells which trends they show, with the posts that prove each."),
    request_type="trend_report",
    task_type="analyse",
    model="openai:gpt-6.1-sol",
    instructions=INSTRUCTIONS,
    input=PostsToRead,
    output=TrendReport,
    work=read,
)
