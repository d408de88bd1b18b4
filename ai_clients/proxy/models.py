"""Which models a request names, for tokens that may call only some of them.

A request can name a model in several places: a batch in each of its requests, a tool or a fallback beside the model of
the call. All have to be allowed. A request that makes an answer and names no model is refused, because nobody can tell
which one it would run: a batch of a file, an assistant, a session of an agent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from django.utils.translation import gettext as _

from ai_clients.endpoints import Endpoint
from ai_clients.free_endpoints import is_free
from ai_clients.proxy.errors import RefusedError

_NOT_LOOKED_INTO = frozenset(
    ("messages", "system", "prompt", "instructions", "metadata", "input_schema", "parameters", "schema")
)
"""Fields of a prompt, or of a schema: a `model` in them is somebody's word. `input` is one too where it is a list."""
_NAME = re.compile(rb'; name="?([^";\r\n]*)"?')


def check(
    allowed: Iterable[str], *, method: str, path: str, query: bytes, headers: dict[bytes, bytes], body: bytes,
    endpoint: Endpoint | None,
) -> None:  # fmt: skip
    """Raise `RefusedError` unless every model of the request is allowed. path: below the version.

    allowed: names, or patterns such as `claude-haiku-*`.
    """
    allowed = list(allowed)
    in_query = [value for name, value in parse_qsl(query.decode("latin-1")) if name == "model"]
    named: list[str] = []
    unreadable = False
    if body:
        try:
            named = models_in(headers, body)
        except (ValueError, RecursionError):  # no JSON, or nested too deeply
            unreadable = True
    for model in (*in_query, *named):
        if not any(fnmatchcase(model, each) for each in allowed):
            raise _not_allowed(
                _("The service token may not call the model %(model)s. It may call: %(allowed)s.")
                % {"model": model[:100], "allowed": ", ".join(allowed)}
            )
    makes_answer = endpoint is not None and endpoint.purpose in ("create", "job") and not is_free(method, path)
    if makes_answer and (unreadable or not named):
        raise _not_allowed(
            _(
                "The service token may call only some models, and this request does not say which model it calls. Name "
                "it in the request, or use a token for all models. It may call: %(allowed)s."
            )
            % {"allowed": ", ".join(allowed)}
        )


def models_in(headers: dict[bytes, bytes], body: bytes) -> list[str]:
    """Return the models that a body names. Raises ValueError if it cannot be read."""
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise ValueError("a compressed body")
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind == b"multipart/form-data":
        return list(_in_form(body, headers[b"content-type"]))
    return list(_named(_pairs(body)))


def _pairs(text: bytes) -> Any:
    """Decode JSON with each object as a tuple of its pairs: of two equal names, a provider may read either."""
    return json.loads(text, object_pairs_hook=lambda pairs: _Pairs(pairs))


class _Pairs(list[tuple[str, Any]]):
    """An object, told apart from an array."""


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, _Pairs):
        for name, inner in value:
            if name == "model" and isinstance(inner, str):
                yield inner
            elif name == "models" and isinstance(inner, list):
                yield from (each for each in inner if isinstance(each, str))
            elif name not in _NOT_LOOKED_INTO and not (name == "input" and type(inner) is list):
                yield from _named(inner)
    elif isinstance(value, list):
        for each in value:
            yield from _named(each)


def _in_form(body: bytes, content_type: bytes) -> Iterator[str]:
    """Yield the models in the fields of a form; a field of JSON may name some too (Realtime calls, `session`)."""
    found = re.search(rb'boundary="?([^";]+)"?', content_type)
    if found is None:
        raise ValueError("a form without a boundary")
    for part in body.split(b"--" + found[1])[1:]:
        head, _gap, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        disposition = next((line for line in head.split(b"\r\n") if b"form-data" in line), b"")
        name = _NAME.search(disposition)
        if name is None or b"filename" in disposition:
            continue
        value = value.removesuffix(b"\r\n")
        if name[1] == b"model":
            yield value.decode("utf-8", "replace")
        elif value.lstrip().startswith(b"{"):
            yield from _named(_pairs(value))


def _not_allowed(message: Any) -> RefusedError:
    return RefusedError(403, "model_not_allowed", message)
