"""Unfolds a finished response into the events of its stream."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeVar

from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseInProgressEvent,
    ResponseOutputItem,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)
from pydantic import BaseModel

from ai_clients.simulator import wire
from ai_clients.simulator.sentences import slices

_Event = TypeVar("_Event", bound=BaseModel)
_Unnumbered = Callable[[int], BaseModel]


def events(response: Response) -> Iterator[bytes]:
    """Server-sent events from `response.created` to `response.completed` or `response.incomplete`."""
    numbers = count()
    for build in _unnumbered(response):
        event = build(next(numbers))
        yield wire.named_event(str(event.type), event)  # type: ignore[attr-defined]


def _unnumbered(response: Response) -> Iterator[_Unnumbered]:
    begun = response.model_copy(
        update={
            "status": "in_progress",
            "output": [],
            "usage": None,
            "completed_at": None,
            "incomplete_details": None,
        }
    )
    yield _event(ResponseCreatedEvent, type="response.created", response=begun)
    yield _event(ResponseInProgressEvent, type="response.in_progress", response=begun)
    for place, item in enumerate(response.output):
        yield from _item(place, item)
    if response.status == "incomplete":
        yield _event(ResponseIncompleteEvent, type="response.incomplete", response=response)
    else:
        yield _event(ResponseCompletedEvent, type="response.completed", response=response)


def _item(place: int, item: ResponseOutputItem) -> Iterator[_Unnumbered]:
    begun: ResponseOutputItem = item
    body: Iterator[_Unnumbered] = iter(())
    match item:
        case ResponseOutputMessage():
            begun = item.model_copy(update={"status": "in_progress", "content": []})
            body = _message(place, item)
        case ResponseFunctionToolCall():
            begun = item.model_copy(update={"status": "in_progress", "arguments": ""})
            body = _call(place, item)
        case ResponseReasoningItem():
            pass  # hidden: it begins and ends without content
        case _:
            raise TypeError(f"The simulator never writes a {type(item).__name__}")
    yield _event(ResponseOutputItemAddedEvent, type="response.output_item.added", output_index=place, item=begun)
    yield from body
    yield _event(ResponseOutputItemDoneEvent, type="response.output_item.done", output_index=place, item=item)


def _message(place: int, message: ResponseOutputMessage) -> Iterator[_Unnumbered]:
    for content_index, part in enumerate(message.content):
        if not isinstance(part, ResponseOutputText):
            raise TypeError(f"The simulator never writes a {type(part).__name__}")
        where = {"item_id": message.id, "output_index": place, "content_index": content_index}
        yield _event(
            ResponseContentPartAddedEvent,
            type="response.content_part.added",
            part=part.model_copy(update={"text": ""}),
            **where,
        )
        for delta in slices(part.text):
            yield _event(ResponseTextDeltaEvent, type="response.output_text.delta", delta=delta, logprobs=[], **where)
        yield _event(ResponseTextDoneEvent, type="response.output_text.done", text=part.text, logprobs=[], **where)
        yield _event(ResponseContentPartDoneEvent, type="response.content_part.done", part=part, **where)


def _call(place: int, call: ResponseFunctionToolCall) -> Iterator[_Unnumbered]:
    where = {"item_id": call.id, "output_index": place}
    for delta in slices(call.arguments):
        yield _event(
            ResponseFunctionCallArgumentsDeltaEvent,
            type="response.function_call_arguments.delta",
            delta=delta,
            **where,
        )
    yield _event(
        ResponseFunctionCallArgumentsDoneEvent,
        type="response.function_call_arguments.done",
        arguments=call.arguments,
        **where,
    )


def _event(event_type: type[_Event], **fields: object) -> Callable[[int], _Event]:
    """An event that waits for its sequence number."""

    def build(sequence_number: int) -> _Event:
        return event_type(sequence_number=sequence_number, **fields)

    return build
