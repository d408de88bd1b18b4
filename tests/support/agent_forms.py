"""What a browser sends for the form of an agent, and one complete input of each agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INPUTS: dict[str, dict[str, Any]] = {
    "community_concierge": {
        "comment": "А коленям это не вредно?",
        "author": "Марина",
        "text": "Зарядка за семь минут.",
        "thread": ["Делаю вторую неделю.", "Спина не болит!"],
        "facts": ["Коврик стоит 900 ₽", "Скидка до воскресенья"],
        "voice": "На «вы»",
        "platform": "vk",
    },
    "legal_guard": {
        "text": "Лучший коврик!\n\nСкидка 20 %.",
        "title": "Коврик",
        "platform": "telegram",
        "advertiser": "ООО «Ромашка»",
        "audience": "Взрослые",
    },
    "multimedia_producer": {
        "text": "Утро в горах",
        "title": "Утро",
        "style": "акварель",
        "shape": "landscape",
        "quality": "low",
        "platform": "vk",
    },
    "repurpose": {"text": "Зарядка", "title": "Утро", "platform": "max", "wishes": "Коротко"},
    "research_factcheck": {
        "text": "Зарядку делает каждый третий.",
        "sources": [
            {"title": "Опрос", "url": "https://example.org/a", "text": "34 % опрошенных."},
            {"title": "Справка", "url": "", "text": "Других данных нет."},
        ],
        "most_claims": 3,
    },
    "trends_scout": {
        "posts": [
            {"text": "Первый", "date": "2026-11-01", "source": "Канал", "reactions": 12},
            {"text": "Второй", "date": None, "source": "", "reactions": None},
        ],
        "topic": "утро",
        "platform": "telegram",
    },
}


def sent(given: Mapping[str, Any], prefix: str = "input") -> dict[str, str]:
    """The form's fields as the browser sends them."""
    fields: dict[str, str] = {}
    for name, value in given.items():
        key = f"{prefix}-{name}"
        if isinstance(value, Mapping):
            fields |= sent(value, key)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            fields |= {f"{key}-TOTAL_FORMS": str(len(value)), f"{key}-INITIAL_FORMS": "0"}
            for number, row in enumerate(value):
                fields |= sent(row, f"{key}-{number}")
        elif isinstance(value, list):
            fields[key] = "\r\n".join(map(str, value))
        elif value is not None:
            fields[key] = str(value)
    return fields
