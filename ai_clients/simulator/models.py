"""`GET models` of both providers: the names that the installed SDKs know."""

from datetime import UTC, datetime
from functools import cache
from typing import get_args

from anthropic.types import ModelInfo
from anthropic.types.model_param import ModelParam
from openai.types import EmbeddingModel, ImageModel, Model
from openai.types.shared import ChatModel

from ai_clients.simulator import wire
from ai_clients.simulator.answers import Answer, JsonObject, Plain

_RELEASED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def answer_openai(_path: JsonObject) -> Answer:
    return Plain(_openai_models())


def answer_anthropic(_path: JsonObject) -> Answer:
    return Plain(_anthropic_models())


@cache
def _openai_models() -> bytes:
    names = [*get_args(ChatModel), *get_args(EmbeddingModel), *get_args(ImageModel)]
    created = int(_RELEASED_AT.timestamp())
    models = [Model(id=name, object="model", created=created, owned_by="system") for name in names]
    return b'{"object":"list","data":[' + b",".join(map(wire.body, models)) + b"]}"


@cache
def _anthropic_models() -> bytes:
    names: list[str] = [name for member in get_args(ModelParam) for name in get_args(member)]
    models = [
        ModelInfo(
            id=name,
            type="model",
            display_name=_display_name(name),
            created_at=_RELEASED_AT,
            lifecycle="active",
        )
        for name in names
    ]
    ends = wire.json_bytes({"has_more": False, "first_id": names[0], "last_id": names[-1]})
    return b'{"data":[' + b",".join(map(wire.body, models)) + b"]," + ends[1:]


def _display_name(name: str) -> str:
    return name.replace("-", " ").title()
