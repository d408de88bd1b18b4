"""Which requests a token that may call only some models is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from ai_clients.endpoints import Mark, endpoint_of
from ai_clients.proxy import models
from ai_clients.proxy.errors import RefusedError

ALLOWED = ("gpt-4.1-mini", "claude-haiku-*")
JSON = {b"content-type": b"application/json"}


def is_allowed(
    path: str, body: Any = None, *, method: str = "POST", query: bytes = b"", headers: dict[bytes, bytes] = JSON
) -> bool:
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    endpoint = endpoint_of(method, b"https", b"api.openai.com", None, f"/v1{path}".encode(), Mark(f"/v1{path}"))
    try:
        models.check(ALLOWED, method=method, path=path, query=query, headers=headers, body=content, endpoint=endpoint)
    except RefusedError as refused:
        return (refused.status, refused.code) != (403, "model_not_allowed")
    return True


MINI = {"model": "gpt-4.1-mini"}
HAIKU = {"model": "claude-haiku-4-5"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", MINI),
        ("/messages", HAIKU),
        # A prompt may talk of models, and a tool may have a parameter of that name.
        ("/chat/completions", {**MINI, "messages": [{"role": "user", "content": [{"model": "o3"}]}]}),
        ("/responses", {**MINI, "input": [{"model": "o3"}], "metadata": {"model": "o3"}}),
        ("/messages", {**HAIKU, "tools": [{"name": "buy", "input_schema": {"properties": {"model": "o3"}}}]}),
        ("/messages/batches", {"requests": [{"params": HAIKU}, {"params": HAIKU}]}),
        # Free, and says no model.
        ("/files", {"purpose": "batch"}),
        ("/responses/resp_1/cancel", {}),
        ("/batches/batch_1/cancel", {}),
    ],
)
def test_requests_of_allowed_models_pass(path: str, body: Any) -> None:
    assert is_allowed(path, body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", {"model": "o3"}),
        ("/chat/completions", {"model": "gpt-4.1-mini-2025-04-14"}),
        ("/messages", {**HAIKU, "tools": [{"type": "advisor_20260301", "model": "claude-opus-4-8"}]}),
        ("/messages", {**HAIKU, "fallbacks": [{"model": "claude-opus-4-8"}]}),
        ("/chat/completions", {**MINI, "models": ["o3"]}),
        ("/messages/batches", {"requests": [{"params": HAIKU}, {"params": {"model": "claude-opus-4-8"}}]}),
        ("/realtime/client_secrets", {"session": {**MINI, "audio": {"input": {"transcription": {"model": "o3"}}}}}),
        # A provider may take either of two equal names.
        ("/chat/completions", b'{"model": "o3", "model": "gpt-4.1-mini"}'),
        ("/chat/completions", b'{"model": "gpt-4.1-mini", "model": "o3"}'),
        # Free, but it names one.
        ("/messages/count_tokens", {"model": "claude-opus-4-8"}),
        # Nobody can tell which model it runs.
        ("/chat/completions", {"messages": []}),
        ("/chat/completions", {"model": ["gpt-4.1-mini"]}),
        ("/chat/completions", b"{"),
        ("/chat/completions", b'{"model": "gpt-4.1-mini", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        ("/chat/completions", None),
        ("/batches", {"input_file_id": "file_1"}),
        ("/threads/thread_1/runs", {"assistant_id": "asst_1"}),
        ("/sessions/session_1/events", {"events": []}),
        ("/something/new", {}),
    ],
)
def test_requests_of_other_or_unknown_models_are_refused(path: str, body: Any) -> None:
    assert not is_allowed(path, body)


def test_a_compressed_body_is_refused() -> None:
    assert not is_allowed("/chat/completions", MINI, headers={**JSON, b"content-encoding": b"gzip"})


def form(**fields: Any) -> tuple[bytes, dict[bytes, bytes]]:
    request = httpx2.Request("POST", "https://a.b", data=fields, files={"file": ("model", b'{"model": "o3"}')})
    return request.read(), {b"content-type": request.headers["content-type"].encode()}


def test_forms_name_their_model_in_a_field() -> None:
    for fields, allowed in (
        ({"model": "gpt-4.1-mini"}, True),
        ({"model": "o3"}, False),
        ({"model": ["gpt-4.1-mini", "o3"]}, False),
        ({"language": "ru"}, False),
        ({"model": "gpt-4.1-mini", "session": '{"model": "o3"}'}, False),
    ):
        body, headers = form(**fields)
        assert is_allowed("/audio/transcriptions", body, headers=headers) == allowed, fields


def test_the_address_may_name_a_model() -> None:
    assert not is_allowed("/chat/completions", MINI, query=b"model=o3")
    assert not is_allowed("/batches", {"input_file_id": "file-1"}, query=b"model=" + MINI["model"].encode())
    assert is_allowed("/models", method="GET")
    assert is_allowed("/responses/resp_1", method="GET")
