"""Rewrites a piece for another platform, within that platform's limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel, Field

from ai_clients.assistants.calls.structured import InvalidAnswerError
from ai_clients.assistants.runs.agent import Agent, Input, material
from ai_clients.assistants.runs.labels import Names


def in_utf16(text: str) -> int:
    """The length as Telegram counts it: a letter is one, most emoji are two."""
    return len(text.encode("utf-16-le")) // 2


def in_bytes(text: str) -> int:
    """The length as YouTube counts it: a Latin letter is one, a Russian one two."""
    return len(text.encode())


@dataclass(frozen=True)
class Form:
    """A kind of post: its name, its limit as `length` counts, and the manner of writing for it."""

    name: Any
    limit: int
    length: Callable[[str], int]
    manner: str


FORMS = {
    # "Bot API" and "Limits" of Telegram's documentation
    "telegram": Form(_("a Telegram post"), 4096, in_utf16, "пост в Telegram: сильная первая строка, короткие абзацы"),
    "telegram_caption": Form(_("a Telegram caption"), 1024, in_utf16, "подпись к картинке в Telegram: одна мысль"),
    "vk": Form(_("a VK post"), 15_895, len, "пост ВКонтакте: разговорно, с вопросом к читателям в конце"),
    # "Сообщения" of MAX's API documentation
    "max": Form(_("a message in MAX"), 4000, len, "сообщение в канал MAX: коротко и по делу"),
    # "Videos: snippet.description" of the YouTube Data API
    "youtube": Form(
        _("a YouTube description"), 5000, in_bytes, "описание ролика на YouTube: суть в первых двух строках"
    ),
    "instagram": Form(_("an Instagram caption"), 2200, in_utf16, "подпись в Instagram: крючок в первой строке"),
}
PLATFORMS = Names({name: form.name for name, form in FORMS.items()})


class PieceToRewrite(Input):
    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=30_000,
            title=gettext_noop("Text"),
            description=gettext_noop("The piece to rewrite"),
        ),
    ]
    title: Annotated[str, Field(max_length=300, title=gettext_noop("Title"))] = ""
    platform: Annotated[
        Literal["telegram", "telegram_caption", "vk", "max", "youtube", "instagram"],
        Field(title=gettext_noop("Platform"), description=gettext_noop("Where it is to appear; its limit is kept")),
        PLATFORMS,
    ]
    wishes: Annotated[
        str,
        Field(
            max_length=1000, title=gettext_noop("Wishes"), description=gettext_noop("Audience, tone, what must stay")
        ),
    ] = ""


class Rewriting(BaseModel):
    text: Annotated[
        str, Field(title=gettext_noop("Text"), description="Готовый текст целиком, с хэштегами, если они уместны")
    ]
    left_out: Annotated[
        list[str], Field(title=gettext_noop("Left out"), description="Что важное из исходного текста пришлось опустить")
    ]


class Rewritten(Rewriting):
    """`length` and `limit` as the platform counts."""

    length: Annotated[int, Field(title=gettext_noop("Length"))]
    limit: Annotated[int, Field(title=gettext_noop("Limit of the platform"))]


INSTRUCTIONS = """\
Ты — редактор, который переносит материалы с площадки на площадку. Перепиши материал под площадку, указанную ниже. \
Материал — JSON: text — исходный текст, title — заголовок, wishes — пожелания редакции.

- Сохраняй факты, числа, имена, ссылки и смысл. Ничего не добавляй от себя: ни фактов, ни обещаний, ни цитат.
- Пометки «реклама», сведения о рекламодателе, erid, возрастную маркировку и обязательные предупреждения переноси \
дословно — их сокращать нельзя.
- Пиши на языке исходного текста и так, как пишут на этой площадке, а не пересказывай: новый порядок, своё начало.
- Разметку, которой площадка не понимает, убери. Хэштегов не больше пяти, только по делу.
- Предел длины — жёсткий: лучше короче с запасом. Сначала отказывайся от повторов и примеров, потом от деталей; что \
важного опущено, перечисли в left_out."""


def rewrite(agent: Agent[PieceToRewrite, Rewritten], given: PieceToRewrite) -> Rewritten:
    form = FORMS[given.platform]
    # Bytes mean nothing to a model; half as many Russian letters fit into them.
    letters = form.limit // 2 if form.length is in_bytes else form.limit
    task = f"{agent.instructions}\n\nПлощадка: {form.manner}. Предел: {letters} знаков с пробелами."
    made = agent.ask(material(given), Rewriting, instructions=task)
    if form.length(made.text) > form.limit:
        shorter = f"{task}\n\nПрошлая попытка вышла длиной {len(made.text)} знаков — больше предела. Сократи сильнее."
        made = agent.ask(material(given), Rewriting, instructions=shorter)
    length = form.length(made.text)
    if length > form.limit:
        raise InvalidAnswerError(
            gettext(
                "The text came out too long for %(platform)s twice: %(length)d of %(limit)d. Ask for a shorter piece."
            )
            % {"platform": form.name, "length": length, "limit": form.limit}
        )
    return Rewritten(**made.model_dump(), length=length, limit=form.limit)


AGENT = Agent(
    id="repurpose",
    name=_("Repurpose"),
    description=_("Rewrites a piece for another platform, within its limit."),
    request_type="repurpose",
    task_type="rewrite",
    model="anthropic:claude-haiku-5-5",
    instructions=INSTRUCTIONS,
    input=PieceToRewrite,
    output=Rewritten,
    work=rewrite,
    max_tokens=16_000,
)
