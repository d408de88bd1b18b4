"""Runs an agent with given answers of the model, and keeps its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from ai_clients.assistants.agents import agents

Work = Callable[..., Any]


class PageParameters(list[dict[str, Any]]):
    """The arguments of each call of the model: `instructions`, `content`, `output`, `max_tokens`, …"""


@pytest.fixture
def asked() -> PageParameters:
    return PageParameters()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, asked: PageParameters) -> Work:
    """`work(agent_id, input, *answers)`: the agent's result, with these answers of the model one after another."""

    def work(agent_id: str, given: dict[str, Any], *answers: dict[str, Any] | Exception) -> Any:
        waiting = list(answers)

        def structured(*, output: type[BaseModel], **call: Any) -> BaseModel:
            asked.append({"output": output, **call})
            answer = waiting.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return output.model_validate(answer)

        monkeypatch.setattr("ai_clients.assistants.runs.agent.structured", structured)
        agent = agents()[agent_id]
        made = agent.run(agent.input.model_validate(given), org=1)
        assert waiting == []
        return made

    return work
