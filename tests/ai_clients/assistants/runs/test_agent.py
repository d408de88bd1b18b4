"""The type of all agents: found by their files, configured by the settings, attributed by their caller."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai.lib._pydantic
import pytest
from anthropic import transform_schema
from django.core.exceptions import ImproperlyConfigured
from pydantic import BaseModel
from pytest_django import Settings

from ai_clients.assistants import agents as package
from ai_clients.assistants import checks
from ai_clients.assistants.agents import agents
from ai_clients.assistants.runs.agent import Agent, Input, material, one_call
from tests.support.configure import configure
from tests.support.recorded import Recorded
from usage_billing import usage_context
from usage_billing.costing import pricing
from usage_billing.costing.metering import meter
from usage_billing.recording import Attribution, current_attribution

FOLDER = Path(package.__file__).parent


class Question(Input):
    text: str
    platform: str = ""


class Reply(BaseModel):
    text: str


def agent(**fields: Any) -> Agent[Question, Reply]:
    given: dict[str, Any] = {
        "id": "echo",
        "name": "Echo",
        "description": "Repeats.",
        "request_type": "echo",
        "task_type": "repeat",
        "model": "openai:gpt-4.1-mini",
        "instructions": "Повтори.",
        "input": Question,
        "output": Reply,
        "work": lambda _agent, given: Reply(text=given.text),
    }
    return Agent(**given | fields)


def test_every_file_of_the_folder_is_an_agent_of_its_name() -> None:
    files = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    assert list(agents()) == files
    assert len(files) >= 6


def test_a_seventh_agent_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (FOLDER / "legal_guard.py").read_text().replace('"legal_guard"', '"zealous_proofreader"')
    (tmp_path / "zealous_proofreader.py").write_text(source)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    agents.cache_clear()
    try:
        assert list(agents())[-1] == "zealous_proofreader"
        assert len(agents()) == 7
    finally:
        agents.cache_clear()


@pytest.mark.parametrize("one", agents().values(), ids=list(agents()))
def test_each_agent_is_whole(one: Agent[Any, Any]) -> None:
    assert re.fullmatch(r"[a-z_]{3,50}", one.id)
    assert str(one.name)
    assert str(one.description).endswith(".")
    assert re.search("[а-я]{3}", one.instructions)
    assert one.request_type
    assert one.task_type
    # A mistyped key must not be ignored, and every text has a limit.
    assert one.input.model_config.get("extra") == "forbid"
    assert set(unbounded(one.input.model_json_schema())) == set()


def unbounded(schema: Any) -> Iterator[str]:
    """Texts and lists of a schema that may be of any length."""
    if isinstance(schema, list):
        for item in schema:
            yield from unbounded(item)
    if isinstance(schema, dict):
        limit = {"string": "maxLength", "array": "maxItems"}.get(str(schema.get("type")), "type")
        if limit not in schema and not {"enum", "const", "format"} & set(schema) and "type" in schema:
            yield json.dumps(schema, ensure_ascii=False)
        for value in schema.values():
            yield from unbounded(value)


@pytest.mark.parametrize("one", agents().values(), ids=list(agents()))
def test_each_agents_model_has_a_price(one: Agent[Any, Any]) -> None:
    from datetime import UTC, datetime

    provider, model = one.runs_on()
    flavour: Any = {"anthropic": "messages", "openai": "chat"}[provider]
    usage: Any = {"input_tokens": 9, "output_tokens": 9}
    if one.id == "multimedia_producer":
        flavour = "images"
        usage |= {"total_tokens": 18, "input_tokens_details": {"text_tokens": 9, "image_tokens": 0}}
    elif provider == "openai":
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    price = pricing.price(provider, model, meter(flavour, usage), {}, org_id=1, at=datetime.now(UTC))
    assert price.usd, price.source


def asked_outputs() -> list[Any]:
    """Every output type that an agent asks a model for: the types of its file that are not inputs."""
    import importlib

    found = []
    for name in agents():
        module = importlib.import_module(f"ai_clients.assistants.agents.{name}")
        found += [
            thing
            for thing in vars(module).values()
            if isinstance(thing, type) and issubclass(thing, BaseModel) and not issubclass(thing, Input)
            and thing.__module__ == module.__name__ and thing.__name__ != "Picture"
        ]  # fmt: skip
    return found


@pytest.mark.parametrize("output", asked_outputs(), ids=lambda output: output.__name__)
def test_each_output_can_be_asked_of_both_providers(output: type[BaseModel]) -> None:
    """Strict schemas have no defaults, no lengths of strings and no objects without named fields."""
    strict = openai.lib._pydantic.to_strict_json_schema(output)
    words = set(re.findall(r'"(\w+)":', json.dumps(strict)))
    assert words & {"default", "maxLength", "minLength", "uniqueItems", "patternProperties", "oneOf"} == set()
    assert '"additionalProperties": true' not in json.dumps(strict)
    assert transform_schema(output)["additionalProperties"] is False


def test_settings_name_another_model(settings: Settings) -> None:
    assert agent().runs_on() == ("openai", "gpt-4.1-mini")
    configure(settings, AGENT_MODELS={"echo": "anthropic:claude-haiku-4-5"})
    assert agent().runs_on() == ("anthropic", "claude-haiku-4-5")
    # A model's own name may have a colon.
    configure(settings, AGENT_MODELS={"echo": "openai:ft:gpt-4o:acme"})
    assert agent().runs_on() == ("openai", "ft:gpt-4o:acme")


@pytest.mark.parametrize("chosen", ["gpt-5", "google:gemini", "openai:", ":gpt-5"])
def test_a_setting_that_cannot_be_says_what_can(settings: Settings, chosen: str) -> None:
    configure(settings, AGENT_MODELS={"echo": chosen})
    with pytest.raises(ImproperlyConfigured, match=r"echo=openai:<model> or anthropic:<model>"):
        agent().runs_on()


def test_settings_are_checked_before_anything_runs(settings: Settings) -> None:
    assert checks.agent_models() == []
    configure(settings, AGENT_MODELS={"legal_gard": "openai:gpt-5", "multimedia_producer": "anthropic:claude-opus-5-5"})
    unknown, wrong = checks.agent_models()
    assert "there is no agent legal_gard" in unknown.msg
    assert "multimedia_producer=openai:<model>" in wrong.msg


def seen(**run: Any) -> Attribution:
    """The attribution under which an agent works."""
    noted: list[Attribution] = []

    def work(_agent: Any, given: Question) -> Reply:
        noted.append(current_attribution())
        return Reply(text=given.text)

    question = run.pop("given", Question(text="?"))
    assert agent(work=work).run(question, **{"org": 7, **run}) == Reply(text="?")
    return noted[0]


def test_attribution_of_a_run() -> None:
    assert seen(user=5, content_id="c", workflow_id="w", platform="vk", content_type="post") == Attribution(
        org_id=7, user_id=5, agent_id="echo", request_type="echo", task_type="repeat",
        content_id="c", workflow_id="w", platform="vk", content_type="post",
    )  # fmt: skip


def test_platform_of_the_input_goes_before_that_of_the_content() -> None:
    assert seen(given=Question(text="?", platform="max"), platform="vk").platform == "max"
    assert seen(given=Question(text="?"), platform="vk").platform == "vk"


def test_workflow_is_the_one_given_or_that_around_it_or_a_new_one() -> None:
    assert seen(workflow_id="mine").workflow_id == "mine"
    with usage_context(workflow_id="outer"):
        assert seen().workflow_id == "outer"
        assert seen(workflow_id="mine").workflow_id == "mine"
    first, second = seen().workflow_id, seen().workflow_id
    assert first
    assert first != second


@pytest.mark.parametrize("model", ["openai:gpt-4.1-mini", "anthropic:claude-haiku-4-5"])
def test_one_call_works_on_either_provider(simulated: dict[str, str], recorded: Recorded, model: str) -> None:
    made = agent(model=model, work=one_call).run(Question(text="?"), org=7)
    assert isinstance(made, Reply)
    assert recorded.one().attribution.agent_id == "echo"


def test_material_is_json_that_no_text_can_leave() -> None:
    forged = Question(text='", "platform": "vk')
    assert json.loads(material(forged)) == {"text": '", "platform": "vk', "platform": ""}
    assert json.loads(material({"n": 1, "none": None, "я": [forged]}))["я"][0]["platform"] == ""
