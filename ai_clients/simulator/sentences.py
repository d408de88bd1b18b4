"""Writes believable answers, always the same for the same seed, in Russian when the question has Cyrillic."""

import random
import re

from ai_clients.simulator.prompts import has_cyrillic
from ai_clients.simulator.tokens import CHARACTERS_PER_TOKEN, count

_ENGLISH_OPENINGS = (
    'Here is a short answer about "{topic}".',
    'You asked about "{topic}", so let us start with the essentials.',
    'A few words on "{topic}" first.',
)
_ENGLISH_SUBJECTS = (
    "The team", "A careful reader", "Most of the work", "The usual approach", "This part of the process",
    "A simple check", "The first draft", "An experienced colleague",
)  # fmt: skip
_ENGLISH_PREDICATES = (
    "starts with a clear description of the goal", "takes less time than people expect",
    "depends on the quality of the source material", "becomes easier once the terms are agreed",
    "shows where the weak spots are", "needs one owner and one deadline",
    "compares the result with last month's figures", "keeps the important details in one place",
)  # fmt: skip
_ENGLISH_ENDINGS = (
    "before anything else is decided", "in most projects of this size", "as the examples above suggest",
    "and that saves a second round of questions", "even when the schedule is tight",
    "so it is worth writing down",
)  # fmt: skip

_RUSSIAN_OPENINGS = (
    "Коротко о теме «{topic}».",
    "Вы спросили о теме «{topic}», начнём с главного.",
    "Сначала несколько слов о теме «{topic}».",
)
_RUSSIAN_SUBJECTS = (
    "Команда", "Внимательный читатель", "Обычный подход", "Эта часть процесса", "Простая проверка",
    "Первый черновик", "Опытный коллега", "Каждый следующий шаг",
)  # fmt: skip
_RUSSIAN_PREDICATES = (
    "начинается с ясного описания цели", "требует меньше времени, чем кажется",
    "зависит от качества исходных материалов", "становится проще, когда согласованы термины",
    "показывает слабые места", "нуждается в одном ответственном и одном сроке",
    "опирается на цифры прошлого месяца", "собирает важные детали в одном месте",
)  # fmt: skip
_RUSSIAN_ENDINGS = (
    "до того, как приняты остальные решения", "в большинстве проектов такого размера",
    "как видно из примеров", "и это избавляет от лишних вопросов", "даже если сроки сжаты",
    "поэтому это стоит записать",
)  # fmt: skip


def write(question: str, *, seed: int, tokens: int) -> str:
    """Whole sentences of at least `tokens` tokens. The first one is about the longest word of the question."""
    russian = has_cyrillic(question)
    openings = _RUSSIAN_OPENINGS if russian else _ENGLISH_OPENINGS
    subjects = _RUSSIAN_SUBJECTS if russian else _ENGLISH_SUBJECTS
    predicates = _RUSSIAN_PREDICATES if russian else _ENGLISH_PREDICATES
    endings = _RUSSIAN_ENDINGS if russian else _ENGLISH_ENDINGS

    choose = random.Random(seed).choice  # noqa: S311 - sentences, not secrets
    text = choose(openings).format(topic=_topic(question) or ("вопрос" if russian else "the question"))
    while count(text) < tokens:
        text += f" {choose(subjects)} {choose(predicates)}, {choose(endings)}."
    return text


def cut(text: str, *, tokens: int) -> str:
    """The longest beginning of `text` that costs no more than `tokens` tokens."""
    return text[: tokens * CHARACTERS_PER_TOKEN]


def slices(text: str) -> list[str]:
    """The text in streamable parts of four tokens each; no parts for an empty text."""
    step = 4 * CHARACTERS_PER_TOKEN
    return [text[start : start + step] for start in range(0, len(text), step)]


def _topic(question: str) -> str:
    # The end of a long prompt is enough: the question usually stands there, and the time stays the same.
    words: list[str] = re.findall(r"[^\W\d_]{3,30}", question[-2000:])
    return max(words, key=len, default="").lower()
