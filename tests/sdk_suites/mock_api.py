"""A server on loopback that answers every method of an SDK with the smallest value of the type that the SDK expects.

The SDKs' suites want a mock server that knows the provider's OpenAPI document, which the source distributions lack.
The SDK itself says the same: each method of `resources` names its path and its type (`cast_to`, `page`, `stream_cls`).
"""

from __future__ import annotations

import ast
import datetime
import importlib
import inspect
import json
import pkgutil
import re
import threading
import types
import typing
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import pydantic
import typing_extensions
import uvicorn

VERBS = {"_get": "GET", "_post": "POST", "_put": "PUT", "_patch": "PATCH", "_delete": "DELETE", "_get_api_list": "GET"}
_SCALARS: dict[Any, Any] = {
    str: "string",
    int: 1,
    float: 1.5,
    bool: True,
    type(None): None,
    datetime.datetime: "2026-11-28T12:00:00Z",
    datetime.date: "2026-11-28",
}
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}


@dataclass(frozen=True)
class Method:
    """A method of the SDK: the requests that it sends, and the types of its answer and of each event of its stream."""

    verb: str
    path: re.Pattern[str]
    beta: bool
    answer: Any
    event: Any


def methods_of(sdk: str) -> list[Method]:
    """The methods of the SDK's resources. Paths without a parameter come first, because `{id}` matches any word."""
    resources = importlib.import_module(f"{sdk}.resources")
    modules = [resources, *map(importlib.import_module, _module_names(resources))]
    found = {method: None for module in modules for method in _methods_in(module)}
    return sorted(found, key=lambda method: method.path.pattern.count("[^/]+"))


def _module_names(package: types.ModuleType) -> list[str]:
    return [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]


def _methods_in(module: types.ModuleType) -> Iterator[Method]:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        verb, path = VERBS.get(node.func.attr), _path_in(node.args[0])
        if verb is None or path is None:
            continue
        given = {word.arg: word.value for word in node.keywords}
        if isinstance(method := given.get("method"), ast.Constant):
            verb = str(method.value).upper()
        path, _, query = path.partition("?")
        pattern = re.compile(re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(path)))
        answer = _value(given.get("page") or given.get("cast_to"), module)
        stream = typing.get_args(_value(given.get("stream_cls"), module))
        yield Method(verb, pattern, "beta=true" in query, answer, stream[0] if stream else None)


def _path_in(node: ast.expr) -> str | None:
    """The path in `"/models"`, `f"/models/{model}"` or `path_template("/models/{model}", …)`; None in a variable."""
    if isinstance(node, ast.Call) and node.args:
        return _path_in(node.args[0])
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _value(node: ast.expr | None, module: types.ModuleType) -> Any:
    """The value of an expression of the module; None of one that names a variable of its function."""
    if node is None:
        return None
    try:
        return eval(compile(ast.Expression(node), module.__name__, "eval"), vars(module))  # noqa: S307 - the SDK's own
    except NameError:
        return None


def example(type_: Any) -> Any:
    """The smallest JSON value of a type: only the fields that it requires, the first choice of each union."""
    if isinstance(type_, typing_extensions.TypeAliasType):
        return example(type_.__value__)
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is typing.Annotated:
        return example(arguments[0])
    if type_ in _SCALARS:
        return _SCALARS[type_]
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        return example(arguments[0])
    if origin is list:
        return [example(arguments[0])]
    if origin is dict:
        return {"key": example(arguments[1])}
    if isinstance(type_, type) and issubclass(type_, pydantic.BaseModel):
        return {
            field.alias or name: example(field.annotation)
            for name, field in type_.model_fields.items()
            if field.is_required() or type(None) not in typing.get_args(field.annotation)
        }
    return {}


Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class MockAPI:
    """An ASGI application that answers as the SDK's types demand, and 404 for a request that no method sends."""

    def __init__(self, sdk: str) -> None:
        self._methods = methods_of(sdk)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        status, content_type, content = self._answer(scope, body)
        headers = [(b"content-type", content_type), (b"x-request-id", b"req_mock")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, scope: dict[str, Any], body: bytes) -> tuple[int, bytes, bytes]:
        beta = ("beta", "true") in parse_qsl(scope["query_string"].decode())
        method = self._method(scope["method"], scope["path"], beta=beta)
        if method is None:
            return 404, b"application/json", b'{"error":{"message":"no method of the SDK sends this request"}}'
        if method.event is not None and _fields(body).get("stream") is True:
            return 200, b"text/event-stream", _stream(method.event, _fields(body))
        # Of `audio.transcriptions` and `audio.translations`, the argument `response_format` decides the type.
        value = {"text": "string"} if method.answer is None else example(method.answer)
        return 200, b"application/json", json.dumps(value).encode()

    def _method(self, verb: str, path: str, *, beta: bool) -> Method | None:
        found = [method for method in self._methods if method.verb == verb and method.path.fullmatch(path)]
        return next((method for method in found if method.beta == beta), found[0] if found else None)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _stream(event: Any, asked: dict[str, Any]) -> bytes:
    """One event of the type, and OpenAI's usage chunk if it was asked for."""
    events = [example(event)]
    if (asked.get("stream_options") or {}).get("include_usage"):
        events.append({**events[0], "choices": [], "usage": USAGE})
    names = [f"event: {each['type']}\n" if "type" in each else "" for each in events]
    lines = [f"{name}data: {json.dumps(each)}\n\n" for name, each in zip(names, events, strict=True)]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


@contextmanager
def running(sdk: str) -> Iterator[str]:
    """Run the server in a thread. Yields its base URL."""
    server = uvicorn.Server(uvicorn.Config(MockAPI(sdk), port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    (socket,) = server.servers[0].sockets
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
