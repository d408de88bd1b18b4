"""Asking for the usage of a streamed chat completion, and remembering how servers answer."""

from __future__ import annotations

import json

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_clients.usage_option import streamed_usage
from tests.support.scripted import Body

URL = "https://api.openai.com/v1/chat/completions"


def request(body: bytes, **headers: str) -> httpx2.Request:
    return httpx2.Request("POST", URL, content=body, headers={"authorization": "Bearer sk-x", **headers})


def asking(own: httpx2.Request) -> httpx2.Request | None:
    """The copy of the request that asks; None if the caller's own is sent."""
    usage = streamed_usage(own)
    return usage.request if usage is not None and usage.asks else None


def asked(body: bytes) -> bytes:
    sent = asking(request(body))
    assert sent is not None
    return sent.content


# ── The request ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_asking_adds_one_option_and_leaves_the_rest_as_written() -> None:
    body = '{"z":1,"stream":true,"n":123456789012345678901234567890,"t":1.10,"e":1e5,"m":["й","\\u0439"],"a":{"b": 2}}'
    expected = body[:-1] + ',"stream_options":{"include_usage":true}}'
    assert asked(body.encode()) == expected.encode()


def test_asking_keeps_other_options() -> None:
    body = b'{"stream":true,"stream_options":{"include_obfuscation":false,"x":1.0},"user":"u"}'
    assert asked(body) == (
        b'{"stream":true,"stream_options":{"include_obfuscation":false,"x":1.0,"include_usage":true},"user":"u"}'
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream":true}',
        b' { "stream" : true } \r\n',
        b'{"stream":true,"half an emoji":"\\ud83d","same":1,"same":2}',
    ],
)
def test_asking_touches_no_byte_before_the_end(body: bytes) -> None:
    assert asked(body) == body.rstrip()[:-1] + b',"stream_options":{"include_usage":true}}'


def test_asking_finds_options_under_another_spelling_of_their_name() -> None:
    body = asked(b'{"stream":true,"stream\\u005foptions":{"x":1}}')
    assert json.loads(body) == {"stream": True, "stream_options": {"x": 1, "include_usage": True}}
    assert body.count(b"options") == 1


@pytest.mark.parametrize("options", ["null", "{}", '{"include_usage":false}', '{"include_usage":null}'])
def test_asking_where_the_caller_does_not(options: str) -> None:
    body = asked(b'{"stream":true,"stream_options":%s}' % options.encode())
    assert body == b'{"stream":true,"stream_options":{"include_usage":true}}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream":true,"stream_options":{"include_usage":true}}',
        b'{"stream": true, "stream_options": {"include_usage": true, "x": 1}}',
        b'{"stream":false}',
        b'{"stream":null}',
        b'{"stream":"true"}',
        b'{"messages":["\\"stream\\":true"]}',
        b"[]",
        b'not JSON "stream"',
        b"",
    ],
)
def test_asking_is_needless_or_impossible(body: bytes) -> None:
    assert asking(request(body)) is None


def test_asking_a_body_that_is_produced_while_sent_is_left_alone() -> None:
    produced = httpx2.Request("POST", URL, stream=Body([b'{"stream":true}']))
    assert asking(produced) is None


@pytest.mark.parametrize("name", ["X-Amz-Content-Sha256", "Content-Digest", "Digest", "Content-MD5"])
def test_asking_a_signed_body_is_left_alone(name: str) -> None:
    assert asking(request(b'{"stream":true}', **{name: "abc"})) is None


def test_asking_changes_no_header_but_length_and_encoding() -> None:
    own = request(b'{"stream":true}', **{"accept-encoding": "gzip, zstd", "x-my": "1", "X-My": "2"})
    own.extensions["timeout"] = {"read": 5.0}
    sent = asking(own)
    assert sent is not None
    changed = {"content-length", "accept-encoding"}
    assert [item for item in sent.headers.multi_items() if item[0] not in changed] == [
        item for item in own.headers.multi_items() if item[0] not in changed
    ]
    assert sent.headers["content-length"] == str(len(sent.content))
    assert sent.headers["accept-encoding"] == "identity"
    assert (sent.method, sent.url, sent.extensions) == (own.method, own.url, own.extensions)
    assert own.content == b'{"stream":true}'


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
@settings(max_examples=100)
def test_asking_any_body_keeps_every_other_field(field: object) -> None:
    body = {"stream": True, "field": field}
    sent = asked(json.dumps(body).encode())
    assert json.loads(sent) == {**body, "stream_options": {"include_usage": True}}
