"""Reads the batch objects of both providers (SDK types `Batch`, `MessageBatch`): a batch's state, not its results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ai_clients.usage.answer import NO_USAGE, Answer, decoder, has_usage, text, usage_block
from ai_clients.usage.objects import objects
from usage_billing.recording.event import Job

ENDED = ("failed", "completed", "expired", "cancelled")
"""The last states of an OpenAI batch. One that expired or was cancelled is billed for the requests that it finished
(OpenAI guide: Batch API)."""

BATCH = {"processing": "batch"}


class _Counts(msgspec.Struct):
    completed: Any = None
    succeeded: Any = None


class _Batch(msgspec.Struct):
    id: Any = None
    object: Any = None
    type: Any = None
    model: Any = None
    status: Any = None
    processing_status: Any = None
    usage: msgspec.Raw = NO_USAGE
    request_counts: msgspec.Raw = NO_USAGE
    output_file_id: Any = None
    error_file_id: Any = None


_decode_batch = decoder(_Batch)
_decode_counts = decoder(_Counts)


def read_batches(body: bytes) -> Iterator[tuple[Answer, Job]]:
    """Yield the answer and the state of each OpenAI batch in the body. Its `usage` is the sum over its requests."""
    for batch in _batches(body):
        if batch.object != "batch":
            continue
        has_ended = batch.status in ENDED
        files = [text(file) for file in (batch.output_file_id, batch.error_file_id) if text(file)]
        requests = 0 if batch.status == "failed" else _number(_counts(batch).completed)
        answer = _answer(batch, has_ended=has_ended, failed=batch.status == "failed")
        if has_ended and batch.status not in ("completed", "failed"):
            answer = msgspec.structs.replace(answer, error_code=batch.status)
        yield answer, Job(has_ended=has_ended, requests=requests if has_ended else None, files=files)


def read_message_batches(body: bytes) -> Iterator[tuple[Answer, Job]]:
    """Yield the answer and the state of each message batch in the body.

    It tells no usage. Requests that were errored, canceled or expired are not billed (Anthropic guide: Batch
    processing), so only those that succeeded are counted.
    """
    for batch in _batches(body):
        if batch.type != "message_batch":
            continue
        has_ended = batch.processing_status == "ended"
        requests = _number(_counts(batch).succeeded) if has_ended else None
        yield _answer(batch, has_ended=has_ended), Job(has_ended=has_ended, requests=requests)


def _batches(body: bytes) -> Iterator[_Batch]:
    return (_decode_batch(bytes(raw)) for raw in objects(body))


def _answer(batch: _Batch, *, has_ended: bool, failed: bool = False) -> Answer:
    return Answer(
        id=text(batch.id),
        model=text(batch.model),
        usage=usage_block(batch.usage),
        status="failed" if failed else "succeeded" if has_ended else "pending",
        error_code="batch_failed" if failed else "",
        completes=has_ended,
        context=BATCH,
    )


def _counts(batch: _Batch) -> _Counts:
    return _decode_counts(batch.request_counts) if has_usage(batch.request_counts) else _Counts()


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
