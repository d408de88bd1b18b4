"""Turns answers into wrong ones: refused, cut off, or with another text. Their usage stays the same."""

import json
from typing import Any

from ai_clients.simulator.answers import JsonObject, RequestRefusedError
from ai_clients.simulator.wire import json_bytes

REFUSAL = "I'm sorry, but I can't help with that."


def refused(body: bytes) -> bytes:
    """A whole answer with the provider's refusal in place of its text; for a picture it is an error."""
    answer = json.loads(body)
    match answer.get("object"):
        case "chat.completion":
            for choice in answer["choices"]:
                choice["message"] |= {"content": None, "refusal": REFUSAL}
        case "response":
            for message in _messages(answer):
                message["content"] = [{"type": "refusal", "refusal": REFUSAL}]
        case _ if answer.get("type") == "message":
            details = {"type": "refusal", "category": None, "explanation": REFUSAL}
            answer |= {"content": [], "stop_reason": "refusal", "stop_details": details}
        case _ if "data" in answer:
            raise RequestRefusedError("Your request was rejected by the safety system.", code="moderation_blocked")
    return json_bytes(answer)


def cut_off(body: bytes) -> bytes:
    """Half of the text, and the provider's word for a limit that was reached."""
    answer = json.loads(body)
    match answer.get("object"):
        case "chat.completion":
            for choice in answer["choices"]:
                choice["message"]["content"] = _half(choice["message"]["content"])
                choice["finish_reason"] = "length"
        case "response":
            for message in _messages(answer):
                message["status"] = "incomplete"
                for part in message["content"]:
                    part["text"] = _half(part["text"])
            answer |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        case _ if answer.get("type") == "message":
            for block in answer["content"]:
                block["text"] = _half(block.get("text"))
            answer["stop_reason"] = "max_tokens"
    return json_bytes(answer)


def with_text(body: bytes, text: str) -> bytes:
    """The answer with this text instead of its own."""
    answer = json.loads(body)
    match answer.get("object"):
        case "chat.completion":
            for choice in answer["choices"]:
                choice["message"]["content"] = text
        case "response":
            for message in _messages(answer):
                for part in message["content"]:
                    part["text"] = text
        case _ if answer.get("type") == "message":
            answer["content"] = [{"type": "text", "text": text, "citations": None}]
        case _ if "data" in answer:
            answer["data"] = [{"b64_json": text}]
    return json_bytes(answer)


def _messages(response: JsonObject) -> list[Any]:
    return [item for item in response["output"] if item["type"] == "message"]


def _half(text: str | None) -> str:
    return (text or "")[: len(text or "") // 2]
