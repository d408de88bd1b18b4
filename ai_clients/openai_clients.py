"""OpenAI's official clients, recording: its own, Azure's and Bedrock's. Same arguments, same methods, same results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai

from ai_clients.connection import with_simulator
from ai_clients.marking import RecordingMixin, recording_class
from ai_clients.websockets.hooks import record_websockets

if TYPE_CHECKING:
    # For type checkers the constructors are the official ones, argument for argument.
    from openai import AsyncAzureOpenAI as AsyncAzureOpenAI
    from openai import AsyncBedrockOpenAI as AsyncBedrockOpenAI
    from openai import AsyncClient as AsyncClient
    from openai import AsyncOpenAI as AsyncOpenAI
    from openai import AzureOpenAI as AzureOpenAI
    from openai import BedrockOpenAI as BedrockOpenAI
    from openai import Client as Client
    from openai import OpenAI as OpenAI
else:

    def _completed(options: dict[str, Any]) -> dict[str, Any]:
        return with_simulator("OpenAI", options)

    OpenAI = recording_class(openai.OpenAI, __name__, _completed)
    AsyncOpenAI = recording_class(openai.AsyncOpenAI, __name__, _completed)
    Client, AsyncClient = OpenAI, AsyncOpenAI

    # An older SDK has no client for Bedrock.
    for _name in ("AzureOpenAI", "AsyncAzureOpenAI", "BedrockOpenAI", "AsyncBedrockOpenAI"):
        if hasattr(openai, _name):
            globals()[_name] = recording_class(getattr(openai, _name), __name__)

    record_websockets(RecordingMixin)
