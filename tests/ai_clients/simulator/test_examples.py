"""Answers that fit what the assistants ask for."""

import json
import re
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel, Field

from ai_clients.assistants.agents.community_concierge import CommentReply
from ai_clients.assistants.agents.legal_guard import LegalReview
from ai_clients.assistants.agents.repurpose import Rewriting
from ai_clients.assistants.agents.research_factcheck import Claims, Judgement
from ai_clients.assistants.agents.trends_scout import TrendReport
from ai_clients.assistants.custom_analysis.analysis import Answer
from ai_clients.assistants.digest.summary import DigestSummary, has_number
from ai_clients.assistants.participants.profiles import Profile
from ai_clients.simulator.materials import Material, read
from ai_clients.simulator.prompts import Piece, Prompt
from ai_clients.simulator.schema_instances import instance

AD = "Зарядка делает спину здоровой. Делают 34 % подписчиков. Промокод УТРО даёт скидку 20 % до конца недели."
PLAIN = "Планка полезна. Её держат минуту."
POSTS = [{"number": number, "text": "Вернулись из похода, маршрут лёгкий."} for number in (1, 2, 3)]
ROWS = [{"name": "trend_report"}, {"name": "fact_check"}]
MATERIALS: dict[type[BaseModel], dict[str, Any]] = {
    CommentReply: {"comment": "А это не вредно?"},
    LegalReview: {"text": AD},
    Rewriting: {"text": AD, "title": "Зарядка"},
    Claims: {"text": AD, "most_claims": 10},
    Judgement: {
        "claim": "Зарядку делают 34 %.",
        "sources": [{"number": 1, "title": "Опрос", "text": "Зарядка: 34 %."}],
    },
    TrendReport: {"topic": "", "posts": POSTS},
    Profile: {"participant": "Анна", "messages": [{"text": "В законе о налогах это описано."}]},
    Answer: {"question": "Что о маршруте?", "texts": [{**post, "author": "Анна"} for post in POSTS]},
    DigestSummary: {"organisation": "Ромашка", "by_request_type": ROWS, "by_model": ROWS, "by_agent": ROWS},
}


def material(values: dict[str, Any], *, seed: int = 0) -> Material:
    question = json.dumps(values, ensure_ascii=False)
    return read(Prompt(pieces=(Piece(1, question),), question=question), seed)


def answer(output: type[BaseModel], values: dict[str, Any], *, seed: int = 0) -> Any:
    """The answer as an instance of the type; its schema is the one that Anthropic's SDK sends."""
    made = instance(anthropic.transform_schema(output), material(values, seed=seed))
    assert made == instance(output.model_json_schema(), material(values, seed=seed))
    return output.model_validate(made)


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else [str(value)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("output", MATERIALS)
def test_every_type_of_the_assistants_has_examples(output: type[BaseModel], seed: int) -> None:
    made = strings(answer(output, MATERIALS[output], seed=seed).model_dump(mode="json"))
    assert made
    # A text for which there is no example begins with this word.
    sentences = [text for text in made if " " in text]
    assert all(re.search("[а-яё]", text) for text in sentences)
    assert not any(text.startswith("Вариант") for text in made)
    assert not any("{" in text for text in made)


@pytest.mark.parametrize("output", MATERIALS)
def test_english_gets_english(output: type[BaseModel]) -> None:
    values: dict[str, Any] = {"text": "Buy it now. It saves 20 %.", "title": "New", "comment": "Thank you!"}
    items = [{"number": 1, "title": "Survey", "author": "Ann", "text": "It saves money."}]
    rows = {name: [{"name": "gpt"}, {"name": "opus"}] for name in ("by_request_type", "by_model", "by_agent")}
    made = answer(output, {**values, "claim": "It saves money.", "question": "", "sources": items, **rows})
    assert not any(re.search("[а-яё]", text) for text in strings(made.model_dump(mode="json")))


def test_legal_review_of_an_advertisement_quotes_it_and_asks_to_fix_it() -> None:
    review = answer(LegalReview, {"text": AD})
    assert (review.is_advertising, review.verdict, review.findings[0].severity) == (True, "fix_first", "blocker")
    assert len(review.findings) > 1
    assert all(finding.quote in AD for finding in review.findings)
    plain = answer(LegalReview, {"text": PLAIN})
    assert (plain.is_advertising, plain.verdict, plain.findings) == (False, "publish", [])


def test_claims_are_the_texts_own() -> None:
    claims = answer(Claims, {"text": AD, "most_claims": 10}).claims
    assert [claim.quote for claim in claims] == [
        "Делают 34 % подписчиков.", "Промокод УТРО даёт скидку 20 % до конца недели.",
    ]  # fmt: skip
    assert len(answer(Claims, {"text": PLAIN}).claims) == 2


@pytest.mark.parametrize("seed", range(4))
def test_judgement_rests_on_a_source_that_speaks_of_the_claim(seed: int) -> None:
    about = {"number": 2, "title": "Опрос", "text": "Зарядку делают 34 %."}
    other = {"number": 1, "title": "Погода", "text": "Завтра дождь."}
    judged = answer(Judgement, {"claim": "Зарядку делает каждый третий.", "sources": [other, about]}, seed=seed)
    assert judged.verdict in ("supported", "partly")
    assert judged.sources == [2]
    assert "Опрос" in judged.explanation
    silent = answer(Judgement, {"claim": "Зарядку делает каждый третий.", "sources": [other]}, seed=seed)
    assert (silent.verdict, silent.sources, silent.correction) == ("not_in_sources", [], "")


def test_trends_differ_and_name_posts_that_are_there() -> None:
    trends = answer(TrendReport, MATERIALS[TrendReport]).trends
    names = [trend.name for trend in trends]
    assert 2 <= len(names) == len(set(names))
    assert all(set(trend.posts) <= {1, 2, 3} and len(trend.posts) >= 2 for trend in trends)
    assert all(trend.ideas for trend in trends)


@pytest.mark.parametrize("values", [MATERIALS[DigestSummary], {"organisation": "Ромашка", "by_agent": []}])
def test_digest_has_no_number(values: dict[str, Any]) -> None:
    summary = answer(DigestSummary, values)
    assert summary.observations
    assert not any(has_number(text, ["trend_report"]) for text in [summary.headline, *summary.observations])


def test_answer_says_when_the_texts_hold_none() -> None:
    found = answer(Answer, {"question": "Сколько стоит билет?", "texts": [{"number": 1, "text": "О погоде."}]})
    assert (found.is_answered, found.evidence) == (False, [])


class Draft(BaseModel):
    title: str
    url: str
    tags: list[str]
    score: int = Field(ge=1, le=10)
    confidence: float = Field(ge=0, le=1)
    published_on: str = Field(description="Date", json_schema_extra={"format": "date"})
    plan: list[str] = Field(description="Что сделать: next_step")


def test_fields_of_others_are_filled_by_name_and_description(openai_client: openai.OpenAI) -> None:
    def ask() -> Draft | None:
        completion = openai_client.chat.completions.parse(
            model="gpt-4.1",
            messages=[{"role": "user", "content": "Придумай публикацию о велосипедах."}],
            response_format=Draft,
        )
        return completion.choices[0].message.parsed

    draft = ask()
    assert draft is not None
    assert draft == ask()
    assert draft.url.startswith("https://example.org/")
    assert (draft.score, draft.confidence, draft.published_on) == (4, 0.8, "2026-01-15")
    assert len(draft.tags) == len(set(draft.tags)) == 3
    assert len(draft.plan) == 3
    assert re.search("[а-яё]", draft.title)
