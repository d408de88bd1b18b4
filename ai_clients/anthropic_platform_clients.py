"""Anthropic's official clients for other companies' platforms, recording. Same arguments, same methods, same results.

Each signs or authenticates after it has built the request, and recording does not change a request of its API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anthropic

from ai_clients.marking import recording_class

NAMES = (
    "AnthropicAWS",
    "AnthropicBedrock",
    "AnthropicBedrockMantle",
    "AnthropicFoundry",
    "AnthropicGoogleCloud",
    "AnthropicVertex",
)

if TYPE_CHECKING:
    # For type checkers the constructors are the official ones, argument for argument.
    from anthropic import AnthropicAWS as AnthropicAWS
    from anthropic import AnthropicBedrock as AnthropicBedrock
    from anthropic import AnthropicBedrockMantle as AnthropicBedrockMantle
    from anthropic import AnthropicFoundry as AnthropicFoundry
    from anthropic import AnthropicGoogleCloud as AnthropicGoogleCloud
    from anthropic import AnthropicVertex as AnthropicVertex
    from anthropic import AsyncAnthropicAWS as AsyncAnthropicAWS
    from anthropic import AsyncAnthropicBedrock as AsyncAnthropicBedrock
    from anthropic import AsyncAnthropicBedrockMantle as AsyncAnthropicBedrockMantle
    from anthropic import AsyncAnthropicFoundry as AsyncAnthropicFoundry
    from anthropic import AsyncAnthropicGoogleCloud as AsyncAnthropicGoogleCloud
    from anthropic import AsyncAnthropicVertex as AsyncAnthropicVertex
else:
    # An older SDK has fewer.
    for _name in (*NAMES, *(f"Async{name}" for name in NAMES)):
        if hasattr(anthropic, _name):
            globals()[_name] = recording_class(getattr(anthropic, _name), __name__)
