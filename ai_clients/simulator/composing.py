"""Decides the answer to a prompt: sentences, an instance of a schema, or a call of a tool."""

from dataclasses import dataclass
from typing import Any

from ai_clients.simulator import materials, sentences
from ai_clients.simulator.answers import JsonObject
from ai_clients.simulator.prompts import Prompt
from ai_clients.simulator.schema_instances import instance
from ai_clients.simulator.tokens import answer_tokens, compact_json, count

ANY_OBJECT: JsonObject = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
}
"""The answer in OpenAI's mode `json_object`, which names no schema."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool the caller makes the model use."""

    name: str
    schema: JsonObject


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Composition:
    """One answer: its text or its tool call, its tokens, and whether the caller's limit cut it."""

    text: str
    tool_call: ToolCall | None
    tokens: int
    is_cut: bool


def compose(
    prompt: Prompt,
    *,
    seed: int,
    limit: int | None,
    schema: JsonObject | None = None,
    tool: Tool | None = None,
) -> Composition:
    """The answer to a prompt within `limit` tokens. A tool call is never cut, because half of one is useless."""
    if tool is not None:
        arguments: Any = instance(tool.schema, materials.read(prompt, seed))
        call = ToolCall(tool.name, arguments if isinstance(arguments, dict) else {})
        return Composition("", call, count(tool.name) + count(compact_json(call.arguments)), is_cut=False)
    if schema is not None:
        text = compact_json(instance(schema, materials.read(prompt, seed)))
    else:
        text = sentences.write(prompt.question, seed=seed, tokens=answer_tokens(prompt.tokens))
    if limit is not None and count(text) > limit:
        text = sentences.cut(text, tokens=limit)
        return Composition(text, None, count(text), is_cut=True)
    return Composition(text, None, count(text), is_cut=False)


def forced_tool(tools: list[Tool], *, name: object, is_any: bool) -> Tool | None:
    """The tool the caller forces, by name or by asking for any of them; None when the model may choose."""
    if isinstance(name, str):
        return next((tool for tool in tools if tool.name == name), Tool(name, {"type": "object"}))
    return tools[0] if is_any and tools else None
