"""The work of OpenAI's hosted tools: plain and streamed, through the recording client."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ai_clients.usage.openai_usage import read_body
from tests.support.recorded import Recorded
from tests.support.scripted import plain, sse, streamed
from tests.support.wire import RESPONSE_ID, TOKENS, one, openai_of, response, response_events

RESPONSE = {
    "request_id": RESPONSE_ID,
    "flavour": "responses",
    "url": "https://api.openai.com/v1/responses",
    "status": "succeeded",
    "model": "gpt-5.4-2026-03-05",
    "usage": TOKENS,
    "context": {"service_tier": "default"},
}
CONTAINER = "cntr_68a7b1c2d3e4f5061728394a5b6c7d8e"
NO_IMAGES = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "total_tokens": 0,
}
DRAWN = {**NO_IMAGES, "input_tokens": 12, "output_tokens": 272, "total_tokens": 284}
SVG = {"model": "gpt-5.4-mini", "input_tokens": 5, "output_tokens": 9, "reasoning_tokens": 4, "total_tokens": 14}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [
        {"type": "output_text", "annotations": [], "text": 'A "web_search_call" {"type": "file_search_call"} \\'}
    ],
}
WEB: dict[str, Any] = {"type": "web_search"}
PREVIEW: dict[str, Any] = {"type": "web_search_preview"}
FILES: dict[str, Any] = {"type": "file_search", "vector_store_ids": ["vs_1"]}
CODE: dict[str, Any] = {"type": "code_interpreter", "container": {"type": "auto"}}
IMAGE: dict[str, Any] = {"type": "image_generation", "model": "gpt-image-1.5"}
SHELL: dict[str, Any] = {"type": "shell", "environment": {"type": "container_auto"}}
ECHOED_SHELL: dict[str, Any] = {
    "type": "shell",
    "environment": {"type": "container_reference", "container_id": "cntr_1"},
}


def tool_usage(searches: int = 0, images: dict[str, Any] = NO_IMAGES) -> dict[str, Any]:
    return {"image_gen": images, "web_search": {"num_requests": searches}}


def search(status: str = "completed", kind: str = "search") -> dict[str, Any]:
    actions = {
        "search": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "u"}]},
        "open_page": {"type": "open_page", "url": "u"},
        "find_in_page": {"type": "find_in_page", "url": "u", "pattern": "p"},
    }
    return {"type": "web_search_call", "id": "ws_1", "status": status, "action": actions[kind]}


def files(status: str = "completed") -> dict[str, Any]:
    return {"type": "file_search_call", "id": "fs_1", "status": status, "queries": ["q"], "results": None}


def code(container: str, status: str = "completed") -> dict[str, Any]:
    shared = {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "outputs": None}
    return {**shared, "container_id": container, "status": status}


def shell(environment: dict[str, str]) -> dict[str, Any]:
    shared = {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "status": "completed"}
    return {**shared, "action": {"commands": ["ls"]}, "environment": environment}


def image(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"type": "image_generation_call", "id": "ig_1", "status": status, "result": "AAAA", **fields}


def part(model: str, usage: dict[str, Any], api: str = "images") -> dict[str, Any]:
    return {"model": model, "api": api, "usage": usage}


SVG_PART = part(
    "gpt-5.4-mini",
    {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}},
    "responses",
)

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "declared, none ran": ({"tools": [WEB, FILES, CODE, IMAGE, SHELL], "output": [MESSAGE]}, {}),
    "declared, none ran, told so": ({"tools": [WEB, IMAGE], "tool_usage": tool_usage(), "output": [MESSAGE]}, {}),
    "function call": (
        {
            "output": [
                {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "web_search_call", "arguments": "{}"}
            ]
        },
        {},
    ),
    "searches told": (
        {"tools": [WEB], "tool_usage": tool_usage(2), "output": [search(), search(), search(kind="open_page")]},
        {"units": {"web_searches": 2}},
    ),
    "fewer searches billed than seen": (
        {"tools": [WEB], "tool_usage": tool_usage(1), "output": [search(), search()]},
        {"units": {"web_searches": 1}},
    ),
    "searches seen, none billed": ({"tools": [WEB], "tool_usage": tool_usage(0), "output": [search()]}, {}),
    "searches counted": (
        {
            "tools": [WEB],
            "output": [
                search(),
                search(kind="open_page"),
                search(kind="find_in_page"),
                search(status="failed"),
                search(status="in_progress"),
                MESSAGE,
                search(),
            ],
        },
        {"units": {"web_searches": 2}},
    ),
    "preview search": (
        {"tools": [PREVIEW], "output": [search()]},
        {"units": {"web_searches": 1}, "context": {"service_tier": "default", "search": "preview"}},
    ),
    "preview search, told": (
        {"tools": [PREVIEW], "tool_usage": tool_usage(1), "output": [search()]},
        {"units": {"web_searches": 1}, "context": {"service_tier": "default", "search": "preview"}},
    ),
    "preview declared, not run": ({"tools": [PREVIEW], "output": [search(status="failed")]}, {}),
    "file searches": (
        {"tools": [FILES], "output": [files(), files("failed"), files("searching"), files()]},
        {"units": {"storage_searches": 2}},
    ),
    "one container twice": (
        {"tools": [CODE], "output": [code("cntr_1"), code("cntr_1", "failed"), code("cntr_2", "in_progress")]},
        {"response": {"containers": {"cntr_1": "1g"}}},
    ),
    "two containers": (
        {"tools": [CODE], "output": [code("cntr_1"), code("cntr_2", "incomplete")]},
        {"response": {"containers": {"cntr_1": "1g", "cntr_2": "1g"}}},
    ),
    "larger container": (
        {"tools": [{**CODE, "container": {"type": "auto", "memory_limit": "4g"}}], "output": [code("cntr_1")]},
        {"response": {"containers": {"cntr_1": "4g"}}},
    ),
    "default container by name": (
        {"tools": [{**CODE, "container": {"type": "auto", "memory_limit": "1g"}}], "output": [code("cntr_1")]},
        {"response": {"containers": {"cntr_1": "1g"}}},
    ),
    "container without a declared tool": ({"output": [code("cntr_1")]}, {"response": {"containers": {"cntr_1": "1g"}}}),
    "container of the caller": (
        {"tools": [{**CODE, "container": "cntr_1"}], "output": [code("cntr_1")]},
        {"response": {"containers": {"cntr_1": ""}}},
    ),
    "hosted shell": (
        {"tools": [SHELL], "output": [shell({"type": "container_reference", "container_id": "cntr_1"})]},
        {"response": {"containers": {"cntr_1": "1g"}}},
    ),
    "hosted shell, echoed": (
        {"tools": [ECHOED_SHELL], "output": [shell({"type": "container_reference", "container_id": "cntr_1"})]},
        {"response": {"containers": {"cntr_1": ""}}},
    ),
    "local shell": (
        {"tools": [{"type": "shell", "environment": {"type": "local"}}], "output": [shell({"type": "local"})]},
        {},
    ),
    "image": (
        {"tools": [IMAGE], "tool_usage": tool_usage(0, DRAWN), "output": [image()]},
        {"parts": [part("gpt-image-1.5", DRAWN)]},
    ),
    "image, model not told": (
        {"tools": [{"type": "image_generation"}], "tool_usage": tool_usage(0, DRAWN), "output": [image()]},
        {"parts": [part("", DRAWN)]},
    ),
    "image, two models": (
        {"tools": [IMAGE, {**IMAGE, "model": "gpt-image-2"}], "tool_usage": tool_usage(0, DRAWN), "output": [image()]},
        {"parts": [part("", DRAWN)]},
    ),
    "image, usage not told": ({"tools": [IMAGE], "output": [image()]}, {"parts": [part("", {})]}),
    "image that failed": ({"tools": [IMAGE], "output": [image("failed", result=None)]}, {}),
    "svg": (
        {"tools": [IMAGE], "tool_usage": tool_usage(0, DRAWN), "output": [image(svg_usage=SVG)]},
        {"parts": [part("gpt-image-1.5", DRAWN), SVG_PART]},
    ),
    "all at once": (
        {
            "tools": [WEB, FILES, CODE, IMAGE],
            "tool_usage": tool_usage(3, DRAWN),
            "output": [search(), files(), code("cntr_1"), image(), MESSAGE],
        },
        {
            "units": {"web_searches": 3, "storage_searches": 1},
            "parts": [part("gpt-image-1.5", DRAWN)],
            "response": {"containers": {"cntr_1": "1g"}},
        },
    ),
}


@pytest.mark.parametrize(("fields", "expected"), CASES.values(), ids=CASES.keys())
def test_tools_of_a_plain_response(recorded: Recorded, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    openai_of(lambda _: plain(response(**fields))).responses.create(model="m", input="Hello")
    assert one(recorded) == {**RESPONSE, **expected}


@pytest.mark.parametrize("last", ["completed", "incomplete"])
@pytest.mark.parametrize(("fields", "expected"), CASES.values(), ids=CASES.keys())
def test_tools_of_a_streamed_response(
    recorded: Recorded, fields: dict[str, Any], expected: dict[str, Any], last: str
) -> None:
    events = sse(*response_events(last, **fields), names=True)
    for _ in openai_of(lambda _: streamed(*events)).responses.create(model="m", input="Hello", stream=True):
        pass
    assert one(recorded) == {**RESPONSE, **expected}


@pytest.mark.parametrize("limit", [None, "4g"])
def test_shell_container_that_the_request_makes(recorded: Recorded, limit: str | None) -> None:
    """OpenAI guide, Shell: the answer always echoes `container_reference`; the request alone says `container_auto`."""
    environment: Any = {"type": "container_auto", **({"memory_limit": limit} if limit else {})}
    output = [shell({"type": "container_reference", "container_id": "cntr_1"})]
    client = openai_of(lambda _: plain(response(tools=[ECHOED_SHELL], output=output)))
    client.responses.create(model="m", input="Hello", tools=[{"type": "shell", "environment": environment}])
    assert one(recorded) == {**RESPONSE, "response": {"containers": {"cntr_1": limit or "1g"}}}


def test_shell_container_of_the_caller_has_the_memory_that_nothing_tells(recorded: Recorded) -> None:
    output = [shell({"type": "container_reference", "container_id": "cntr_1"})]
    client = openai_of(lambda _: plain(response(tools=[ECHOED_SHELL], output=output)))
    client.responses.create(model="m", input="Hello", tools=[ECHOED_SHELL])  # type: ignore[list-item]
    assert one(recorded) == {**RESPONSE, "response": {"containers": {"cntr_1": ""}}}


def test_background_response_keeps_the_memory_that_its_request_asks_for(recorded: Recorded) -> None:
    client = openai_of(lambda _: plain(response(status="queued", background=True, usage=None, output=[])))
    client.responses.create(model="m", input="Hello", background=True, tools=[SHELL])  # type: ignore[list-item]
    assert one(recorded)["response"] == {"container_memory": "1g"}


def test_created_container_tells_its_memory(recorded: Recorded) -> None:
    """API reference: Containers. `memory_limit` is 1 GB unless the request asks for more."""
    made = {"id": CONTAINER, "object": "container", "created_at": 1, "status": "running", "name": "c"}
    client = openai_of(lambda _: plain({**made, "memory_limit": "16g"}))
    client.containers.create(name="c", memory_limit="16g")
    event = one(recorded)
    assert (event["request_id"], event["flavour"], event["status"]) == (CONTAINER, "containers", "succeeded")
    assert event["response"] == {"containers": {CONTAINER: "16g"}}


def test_search_of_before_actions_were_told_is_one() -> None:
    answer = read_body("responses", b'{"output":[{"type":"web_search_call","status":"completed"}]}')
    assert answer.units == {"web_searches": 1}


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({"output": ["web_search_call", 7, None, [], {"type": "web_search_call"}]}, {}),
        ({"output": {"type": "web_search_call"}}, {}),
        ({"output": "x", "tools": 7, "tool_usage": []}, {}),
        ({"tool_usage": {"web_search": 3, "image_gen": []}}, {}),
        ({"tool_usage": {"web_search": {"num_requests": "2"}, "image_gen": {"output_tokens": -1}}}, {}),
        ({"tool_usage": {"web_search": {"num_requests": True}}}, {}),
        ({"output": [{"type": "web_search_call", "status": 1, "action": "search"}]}, {}),
        ({"output": [{"type": ["web_search_call"], "status": "completed"}], "tools": [{"type": []}]}, {}),
    ],
)
def test_tools_of_another_shape_lose_no_usage(fields: dict[str, Any], context: dict[str, str]) -> None:
    answer = read_body("responses", msgspec.json.encode({"id": "r", "usage": {"input_tokens": 1}, **fields}))
    assert (msgspec.json.decode(answer.usage), answer.units, answer.parts) == ({"input_tokens": 1}, {}, [])
    assert answer.context == context


def test_tools_that_cannot_be_read_are_not_free() -> None:
    answer = read_body(
        "responses", b'{"usage":{"input_tokens":1},"output":[{"type":"web_search_call","action":"\xff"}]}'
    )
    assert msgspec.json.decode(answer.usage) == {"input_tokens": 1}
    assert answer.context == {"tools": "unreadable"}
