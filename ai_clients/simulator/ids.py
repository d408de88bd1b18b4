"""Identifiers of the providers' own form and length, unique for each call.

They come from `os.urandom`, which neither `random.seed()` in somebody's test nor a fork can make repeat.
"""

import os
import string

_ALPHANUMERICS = (string.ascii_letters + string.digits).encode()
_BYTE_TO_ALPHANUMERIC = bytes(_ALPHANUMERICS[byte % len(_ALPHANUMERICS)] for byte in range(256))


def _alphanumerics(length: int) -> str:
    return os.urandom(length).translate(_BYTE_TO_ALPHANUMERIC).decode()


def _hexadecimals(length: int) -> str:
    return os.urandom(length // 2).hex()


def openai_request() -> str:
    return "req_" + _hexadecimals(32)


def chat_completion() -> str:
    return "chatcmpl-" + _alphanumerics(29)


def openai_tool_call() -> str:
    return "call_" + _alphanumerics(24)


def response() -> str:
    return "resp_" + _hexadecimals(48)


def response_item(prefix: str) -> str:
    """An item of a response's output: `prefix` is `msg`, `rs` (reasoning) or `fc` (function call)."""
    return f"{prefix}_{_hexadecimals(48)}"


def anthropic_request() -> str:
    return "req_011C" + _alphanumerics(20)


def message() -> str:
    return "msg_01" + _alphanumerics(22)


def anthropic_tool_use() -> str:
    return "toolu_01" + _alphanumerics(22)
