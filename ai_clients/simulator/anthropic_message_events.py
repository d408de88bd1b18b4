"""Unfolds a finished message into the events of its stream."""

from collections.abc import Iterator

from anthropic.types import (
    ContentBlock,
    InputJSONDelta,
    Message,
    MessageDeltaUsage,
    RawContentBlockDelta,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawContentBlockStopEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
    SignatureDelta,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
    Usage,
)
from anthropic.types.raw_message_delta_event import Delta

from ai_clients.simulator import wire
from ai_clients.simulator.sentences import slices
from ai_clients.simulator.tokens import compact_json

_PING = wire.named_event("ping", {"type": "ping"})
_FIRST_OUTPUT_TOKENS = 1


def events(message: Message) -> Iterator[bytes]:
    """Server-sent events from `message_start` to `message_stop`; usage on the delta is cumulative."""
    for event in _events(message):
        yield wire.named_event(event.type, event)
        if isinstance(event, RawContentBlockStartEvent) and event.index == 0:
            yield _PING


def _events(
    message: Message,
) -> Iterator[
    RawMessageStartEvent
    | RawContentBlockStartEvent
    | RawContentBlockDeltaEvent
    | RawContentBlockStopEvent
    | RawMessageDeltaEvent
    | RawMessageStopEvent
]:
    yield RawMessageStartEvent(type="message_start", message=_begun(message))
    for index, block in enumerate(message.content):
        yield RawContentBlockStartEvent(type="content_block_start", index=index, content_block=_emptied(block))
        for delta in _deltas(block):
            yield RawContentBlockDeltaEvent(type="content_block_delta", index=index, delta=delta)
        yield RawContentBlockStopEvent(type="content_block_stop", index=index)
    yield RawMessageDeltaEvent(
        type="message_delta",
        delta=Delta(stop_reason=message.stop_reason, stop_sequence=message.stop_sequence, stop_details=None),
        usage=_final_usage(message.usage),
    )
    yield RawMessageStopEvent(type="message_stop")


def _begun(message: Message) -> Message:
    usage = message.usage.model_copy(update={"output_tokens": _FIRST_OUTPUT_TOKENS})
    usage.__pydantic_fields_set__.discard("output_tokens_details")
    return message.model_copy(update={"content": [], "stop_reason": None, "usage": usage})


def _emptied(block: ContentBlock) -> TextBlock | ThinkingBlock | ToolUseBlock:
    match block:
        case TextBlock():
            return TextBlock(type="text", text="")
        case ThinkingBlock():
            return ThinkingBlock(type="thinking", thinking="", signature="")
        case ToolUseBlock():
            return block.model_copy(update={"input": {}})
        case _:
            raise TypeError(f"The simulator never writes a {type(block).__name__}")


def _deltas(block: ContentBlock) -> Iterator[RawContentBlockDelta]:
    match block:
        case TextBlock():
            for part in slices(block.text):
                yield TextDelta(type="text_delta", text=part)
        case ThinkingBlock():
            for part in slices(block.thinking):
                yield ThinkingDelta(type="thinking_delta", thinking=part)
            yield SignatureDelta(type="signature_delta", signature=block.signature)
        case ToolUseBlock():
            for part in ["", *slices(compact_json(block.input))]:
                yield InputJSONDelta(type="input_json_delta", partial_json=part)


def _final_usage(usage: Usage) -> MessageDeltaUsage:
    final = MessageDeltaUsage(
        input_tokens=usage.input_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        output_tokens=usage.output_tokens,
    )
    if usage.output_tokens_details is not None:
        final.output_tokens_details = usage.output_tokens_details
    return final
