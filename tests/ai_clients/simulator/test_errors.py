"""Requests refused in the provider's own shapes."""

from typing import Any

import httpx2
import pytest

from ai_clients.simulator import Simulator

OPENAI_KEY = {"Authorization": "Bearer k"}
ANTHROPIC_KEY = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {"messages": MESSAGES}, "model"),
        ("chat/completions", {"model": "gpt-4.1"}, "messages"),
        ("responses", {"input": "Hi"}, "model"),
        ("responses", {"model": "gpt-4.1"}, "input"),
        ("embeddings", {"input": "Hi"}, "model"),
        ("embeddings", {"model": "text-embedding-3-small"}, "input"),
        ("images/generations", {"model": "gpt-image-2"}, "prompt"),
    ],
)
def test_openai_missing_field(simulator: Simulator, path: str, body: dict[str, Any], param: str) -> None:
    answer = httpx2.post(f"{simulator.openai_base_url}/{path}", json=body, headers=OPENAI_KEY)
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": f"Missing required parameter: '{param}'.",
        "type": "invalid_request_error",
        "param": param,
        "code": "missing_required_parameter",
    }
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("missing", ["model", "messages", "max_tokens"])
def test_anthropic_missing_field(simulator: Simulator, missing: str) -> None:
    body = {"model": "claude-sonnet-4-6", "messages": MESSAGES, "max_tokens": 10}
    del body[missing]
    answer = httpx2.post(f"{simulator.anthropic_base_url}/v1/messages", json=body, headers=ANTHROPIC_KEY)
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": f"{missing}: Field required"},
        "request_id": answer.headers["request-id"],
    }


@pytest.mark.parametrize("content", [b"{not json", b"[1]", b"\xff\xfe"])
def test_bad_json(simulator: Simulator, content: bytes) -> None:
    answer = httpx2.post(f"{simulator.openai_base_url}/chat/completions", content=content, headers=OPENAI_KEY)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    answer = httpx2.post(f"{simulator.anthropic_base_url}/v1/messages", content=content, headers=ANTHROPIC_KEY)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_missing_key(simulator: Simulator) -> None:
    answer = httpx2.get(f"{simulator.openai_base_url}/models")
    assert answer.status_code == 401
    assert "You didn't provide an API key" in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"].startswith("req_")
    answer = httpx2.get(f"{simulator.anthropic_base_url}/v1/models")
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.headers["request-id"].startswith("req_011C")


def test_unknown_path(simulator: Simulator) -> None:
    answer = httpx2.post(f"{simulator.openai_base_url}/nothing", json={}, headers=OPENAI_KEY)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Invalid URL (POST /openai/v1/nothing)"
    answer = httpx2.post(f"{simulator.anthropic_base_url}/v1/nothing", json={}, headers=ANTHROPIC_KEY)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


def test_wrong_method(simulator: Simulator) -> None:
    answer = httpx2.get(f"{simulator.openai_base_url}/embeddings", headers=OPENAI_KEY)
    assert answer.status_code == 405
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_unknown_parameters_are_ignored(simulator: Simulator) -> None:
    body = {
        "model": "gpt-4.1",
        "messages": [*MESSAGES, "odd", {"role": "user"}],
        "tools": "odd",
        "n": "odd",
        "stop": 5,
    }
    answer = httpx2.post(f"{simulator.openai_base_url}/chat/completions", json=body, headers=OPENAI_KEY)
    assert answer.status_code == 200
