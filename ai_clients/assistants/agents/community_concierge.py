"""Answers comments in the voice of the brand, and says when a person should answer."""

from __future__ import annotations

from typing import Annotated, Literal

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from pydantic import BaseModel, Field

from ai_clients.assistants.runs.agent import Agent, Input, one_call
from ai_clients.assistants.runs.labels import Names

KINDS = Names(
    {
        "question": _("a question"),
        "thanks": _("thanks"),
        "complaint": _("a complaint"),
        "joke": _("a joke"),
        "provocation": _("a provocation"),
        "spam": _("spam"),
        "other": _("something else"),
    },
    {"thanks": "good", "complaint": "warning", "provocation": "warning", "spam": "bad"},
)
WHO_ANSWERS = Names(
    {True: _("an employee has to answer"), False: _("the reply can be sent")}, {True: "warning", False: "good"}
)


class CommentToAnswer(Input):
    comment: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4000,
            title=gettext_noop("Comment"),
            description=gettext_noop("The comment to answer"),
        ),
    ]
    author: Annotated[
        str, Field(max_length=200, title=gettext_noop("Author"), description=gettext_noop("The author’s name"))
    ] = ""
    text: Annotated[
        str,
        Field(
            max_length=20_000, title=gettext_noop("Text"), description=gettext_noop("The post under which it stands")
        ),
    ] = ""
    thread: Annotated[
        list[Annotated[str, Field(max_length=4000)]],
        Field(max_length=30, title=gettext_noop("Thread"), description=gettext_noop("Comments before it, in order")),
    ] = []
    facts: Annotated[
        list[Annotated[str, Field(max_length=2000)]],
        Field(
            max_length=50,
            title=gettext_noop("Facts"),
            description=gettext_noop("What may be promised and told: prices, opening hours, rules"),
        ),
    ] = []
    voice: Annotated[
        str, Field(max_length=1000, title=gettext_noop("Voice"), description=gettext_noop("How the brand speaks"))
    ] = ""
    platform: Annotated[
        str, Field(max_length=50, title=gettext_noop("Platform"), description=gettext_noop("Such as telegram or vk"))
    ] = ""


class CommentReply(BaseModel):
    reply: Annotated[
        str, Field(title=gettext_noop("Reply"), description="Готовый ответ; пустая строка, если отвечать не нужно")
    ]
    tone: Annotated[
        Literal["question", "thanks", "complaint", "joke", "provocation", "spam", "other"],
        Field(title=gettext_noop("Kind of comment"), description="Чем является комментарий"),
        KINDS,
    ]
    needs_human: Annotated[
        bool,
        Field(
            title=gettext_noop("Who answers"),
            description="Нужен ли сотрудник: жалоба, деньги, здоровье, угроза, нет фактов",
        ),
        WHO_ANSWERS,
    ]
    reason: Annotated[
        str, Field(title=gettext_noop("Reason"), description="Одной фразой для сотрудника: почему ответ такой")
    ]


INSTRUCTIONS = """\
Ты отвечаешь на комментарии от имени бренда. Материал — JSON: comment — комментарий, на который нужен ответ; author — \
его автор; text — публикация; thread — предыдущие комментарии; facts — что известно точно; voice — голос бренда.

Как отвечать:
- На языке комментария, коротко: одна–три фразы. По имени обращайся, только если имя есть в author.
- Держись голоса бренда; если он не описан — доброжелательно, на «вы», без канцелярита, не больше одного эмодзи.
- Утверждай только то, что есть в facts и в публикации. Цен, сроков, скидок, наличия и обещаний не выдумывай. Если \
нужного факта нет — честно скажи, что уточнишь, и поставь needs_human.
- На жалобу: признай неудобство, не спорь и не оправдывайся, предложи следующий шаг. Персональные данные (телефон, \
адрес, номер заказа) в открытых комментариях не проси — зови в личные сообщения.
- На провокацию и оскорбления не отвечай тем же; на спам не отвечай вовсе (reply — пустая строка).
- Медицинских, юридических и финансовых советов не давай. О политике, конкурентах и других клиентах не высказывайся.

needs_human = true, если комментарий — жалоба с требованием, вопрос о деньгах или возврате, вред здоровью, угроза, \
упоминание суда или прессы, сообщение о ребёнке в опасности или если для ответа не хватает фактов."""


AGENT = Agent(
    id="community_concierge",
    name=_("Community concierge"),
    description=_("Answers a comment in the voice of the brand, and says when a person should."),
    request_type="comment_reply",
    task_type="reply",
    model="openai:gpt-6.1-terra",
    instructions=INSTRUCTIONS,
    input=CommentToAnswer,
    output=CommentReply,
    work=one_call,
)
