"""One call for the claims, one for each of them, all of one workflow; sources that were not given prove nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ai_clients.assistants.agents import agents
from ai_clients.assistants.calls.structured import InvalidAnswerError, RefusedError
from tests.ai_clients.assistants.agents.conftest import PageParameters, Work
from usage_billing.recording import current_attribution

GIVEN: dict[str, Any] = {
    "text": "Выручка выросла вдвое, и все рады.",
    "sources": [{"title": "Отчёт", "text": "[2] Рост 12 %"}, {"title": "Блог", "text": "Удвоилась"}],
}


def claims(number: int) -> dict[str, Any]:
    return {"claims": [{"claim": f"Утверждение {place}", "quote": "вдвое"} for place in range(number)]}


def judgement(verdict: str = "supported", sources: tuple[int, ...] = (1,)) -> dict[str, Any]:
    return {"verdict": verdict, "explanation": "Рост 12 %", "sources": list(sources), "correction": ""}


def content(call: dict[str, Any]) -> Any:
    return json.loads(call["content"])


def test_each_claim_is_judged_by_all_sources(work: Work, asked: PageParameters) -> None:
    made = work("research_factcheck", GIVEN, claims(3), *[judgement()] * 3)
    assert [claim.claim for claim in made.claims] == ["Утверждение 0", "Утверждение 1", "Утверждение 2"]
    assert content(asked[0]) == {"text": GIVEN["text"], "most_claims": 10}
    assert sorted(content(call)["claim"] for call in asked[1:]) == [claim.claim for claim in made.claims]
    assert {json.dumps(content(call)["sources"], ensure_ascii=False) for call in asked[1:]} == {
        '[{"number": 1, "title": "Отчёт", "url": "", "text": "[2] Рост 12 %"}, '
        '{"number": 2, "title": "Блог", "url": "", "text": "Удвоилась"}]'
    }
    assert len({call["instructions"] for call in asked}) == 2


def test_text_without_claims_needs_no_judge(work: Work, asked: PageParameters) -> None:
    assert work("research_factcheck", GIVEN, claims(0)).claims == []
    assert len(asked) == 1


def test_no_more_claims_are_judged_than_were_asked_for(work: Work) -> None:
    assert len(work("research_factcheck", GIVEN | {"most_claims": 2}, claims(5), judgement(), judgement()).claims) == 2


@pytest.mark.parametrize("number", [0, 3, -1])
def test_source_that_was_not_given_is_an_error(work: Work, number: int) -> None:
    with pytest.raises(InvalidAnswerError, match=r"."):
        work("research_factcheck", GIVEN, claims(1), judgement(sources=(1, number)))


def test_refusal_of_one_claim_is_that_of_the_whole(work: Work) -> None:
    with pytest.raises(RefusedError):
        work("research_factcheck", GIVEN, claims(2), judgement(), RefusedError("no"))


def test_judges_work_under_the_attribution_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[Any] = []

    def structured(*, output: Any, **_: Any) -> Any:
        noted.append(current_attribution())
        return output.model_validate({**claims(3), **judgement()})

    monkeypatch.setattr("ai_clients.assistants.runs.agent.structured", structured)
    agent = agents()["research_factcheck"]
    agent.run(agent.input.model_validate(GIVEN), org=3, user=4)
    assert len(noted) == 4
    assert {(one.org_id, one.user_id, one.agent_id, one.workflow_id) for one in noted} == {
        (3, 4, "research_factcheck", noted[0].workflow_id)
    }
