"""The type of all agents. Each agent is a file of `ai_clients.assistants.agents`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pydantic
from django.core.exceptions import ImproperlyConfigured
from pydantic_core import to_json

from ai_clients.assistants.calls.model_choice import PROVIDERS, within_budgets
from ai_clients.assistants.calls.structured import Provider, structured
from usage_billing import usage_context
from usage_billing.conf import conf

Given = TypeVar("Given", bound=pydantic.BaseModel)
Made = TypeVar("Made", bound=pydantic.BaseModel)
Answer = TypeVar("Answer", bound=pydantic.BaseModel)


class Input(pydantic.BaseModel):
    """The input of an agent. An unknown field is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", str_strip_whitespace=True)


@dataclass(frozen=True, kw_only=True)
class Agent(Generic[Given, Made]):
    """An agent: its name, model, instructions, input and output.

    model: `provider:model`, unless `conf.AGENT_MODELS` names another for this id. max_tokens: of an answer.
    work: makes the output from the input, by one call of the model (`one_call`) or by more. An agent does not know
    organisations, users or money: `run` sets the attribution of its calls.
    """

    id: str
    name: Any  # text, translated when it is shown
    description: Any
    request_type: str
    task_type: str
    model: str
    providers: tuple[Provider, ...] = PROVIDERS
    instructions: str
    input: type[Given]
    output: type[Made]
    work: Callable[[Agent[Given, Made], Given], Made]
    max_tokens: int = 8000

    def runs_on(self) -> tuple[Provider, str]:
        """Provider and model by the present settings. Raises `ImproperlyConfigured` for an impossible setting."""
        chosen = conf.AGENT_MODELS.get(self.id) or self.model
        provider, _, model = chosen.partition(":")
        if provider not in self.providers or not model:
            allowed = " or ".join(f"{name}:<model>" for name in self.providers)
            raise ImproperlyConfigured(f"AI_AGENT_MODELS: {self.id}={chosen} cannot be; write {self.id}={allowed}.")
        return provider, model

    def ask(self, content: str, output: type[Answer], *, instructions: str = "") -> Answer:
        """One call of its model about `content`; `instructions`: others than its own. Raises as `structured` does."""
        with within_budgets(*self.runs_on(), self.providers) as choice:
            return structured(
                provider=choice.provider,
                model=choice.model,
                instructions=instructions or self.instructions,
                content=content,
                output=output,
                max_tokens=self.max_tokens,
            )

    def run(
        self,
        given: Given,
        *,
        org: Any,
        user: Any = None,
        content_id: Any = None,
        workflow_id: str | None = None,
        platform: str | None = None,
        content_type: str | None = None,
    ) -> Made:
        """Work for `org`: all calls of it carry this attribution, and one `workflow_id`, a new one if none is given.

        The input's platform overrides `platform`. Raises what `work` raises; the calls are recorded.
        """
        with (
            usage_context(
                org=org,
                user=user,
                agent_id=self.id,
                request_type=self.request_type,
                task_type=self.task_type,
                workflow_id=workflow_id,
                content_id=content_id,
                platform=getattr(given, "platform", None) or platform,
                content_type=content_type,
            ) as attribution,
            usage_context(workflow_id=attribution.workflow_id or uuid.uuid4().hex),
        ):
            return self.work(self, given)


AnyAgent = Agent[Any, Any]


def material(given: pydantic.BaseModel | Mapping[str, Any]) -> str:
    """The model's material as JSON, so that no text can pass for another field or another text."""
    return to_json(given, exclude_none=True, indent=1).decode()


def one_call(agent: Agent[Given, Made], given: Given) -> Made:
    """The `work` of an agent that needs one call."""
    return agent.ask(material(given), agent.output)
