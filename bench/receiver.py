"""`python -m bench.receiver <spans>`: for each line that it reads, a round of receiving; prints its figures as JSON.

The database of DATABASE_URL has organisations already (`bench.data`). A round sends spans to the receiver, through all
middleware, and drains them to the ledger. Each span has a prompt and an answer of 2 KB, as instrumentations send them.
"""

from __future__ import annotations

import gzip
import json
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any

import django

BATCH = 512
"""Spans in an export: what the SDKs' batch processors send."""
MODELS = (("openai", "gpt-4.1-mini"), ("anthropic", "claude-sonnet-4-5"))

Figures = dict[str, float]


def main() -> None:
    django.setup()
    number = int(sys.argv[1])
    send = _sender()
    _round(send, BATCH)  # warm-up
    for _ in sys.stdin:
        print(json.dumps(_round(send, number)), flush=True)


def _sender() -> Any:
    from django.test import Client

    from usage_billing.auth import service_tokens
    from usage_billing.models import Organization
    from usage_billing.tenancy.scope import EVERYTHING

    org = Organization.objects.first()
    _, token = service_tokens.create(scope=EVERYTHING, by="bench", name="bench", org=org, scopes=["ingest"])
    client = Client(SERVER_NAME="localhost", headers={"Authorization": f"Bearer {token}", "Content-Encoding": "gzip"})

    def send(body: bytes, content_type: str) -> None:
        response = client.post("/v1/traces", body, content_type=content_type, secure=True)
        assert response.status_code == 200, response.content
        assert response.content in (b"", b"{}"), response.content

    return send


def _round(send: Any, number: int) -> Figures:
    """Return spans a second: into the outbox by either encoding, and from there into the ledger."""
    from usage_billing.ledger import drain
    from usage_billing.recording import recorder

    figures: Figures = {}
    for name, content_type in (("protobuf", "application/x-protobuf"), ("JSON", "application/json")):
        bodies = [gzip.compress(body, 1) for body in _exports(number, is_json=name == "JSON")]
        began = time.perf_counter()
        for body in bodies:
            send(body, content_type)
        figures[name] = len(bodies) * BATCH / (time.perf_counter() - began)
        outbox = recorder.outbox()
        began = time.perf_counter()
        drained = 0
        while some := drain.drain_all(outbox):
            drained += some
        assert drained == len(bodies) * BATCH, drained
        figures["ledger"] = drained / (time.perf_counter() - began)
    return figures


def _exports(number: int, *, is_json: bool) -> Iterator[bytes]:
    from tests.support import otlp

    for _ in range(-(-number // BATCH)):
        yield otlp.encoded(otlp.together([_span() for _ in range(BATCH)]), is_json=is_json)


def _span() -> dict[str, Any]:
    from tests.support import otlp

    provider, model = secrets.choice(MODELS)
    export = otlp.span(
        resource={"service__name": "bench"},
        gen_ai__provider__name=provider,
        gen_ai__request__model=model,
        gen_ai__response__model=model,
        gen_ai__response__id=f"chatcmpl-{secrets.token_hex(12)}",
        gen_ai__usage__input_tokens=1000,
        gen_ai__usage__output_tokens=100,
        gen_ai__input__messages=secrets.token_hex(512),
        gen_ai__output__messages=secrets.token_hex(512),
        openai__response__service_tier="default",
    )
    for span in otlp.items(export):
        span["traceId"], span["spanId"] = secrets.token_hex(16), secrets.token_hex(8)
    return export


if __name__ == "__main__":
    main()
