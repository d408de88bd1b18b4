"""`POST embeddings`: deterministic unit vectors, as numbers or as base64 of little-endian float32."""

import base64
import hashlib
import math
import sys
from array import array
from typing import Any

from openai.types import CreateEmbeddingResponse, Embedding
from openai.types.create_embedding_response import Usage

from ai_clients.simulator import tokens, wire
from ai_clients.simulator.answers import Answer, JsonObject, Plain, RequestRefusedError
from ai_clients.simulator.requests import openai_required, positive_integer

_DIMENSIONS = {"text-embedding-3-large": 3072}
_USUAL_DIMENSIONS = 1536


def answer(body: JsonObject) -> Answer:
    """One embedding for each input, in order; an input is a text or a list of token numbers."""
    model: str = openai_required(body, "model", str)
    inputs = _inputs(openai_required(body, "input", (str, list)))
    dimensions = positive_integer(body, "dimensions") or _DIMENSIONS.get(model, _USUAL_DIMENSIONS)
    is_base64 = body.get("encoding_format") == "base64"
    prompt_tokens = sum(tokens.count(given) if isinstance(given, str) else len(given) for given in inputs)
    vectors = [_unit_vector(f"{model}\x1f{given}", dimensions) for given in inputs]
    return Plain(
        wire.body(
            CreateEmbeddingResponse.construct(
                object="list",
                data=[
                    # The SDK's type says numbers only; base64 is what its own client asks for by default.
                    Embedding.model_construct(
                        object="embedding",
                        index=index,
                        embedding=_base64(vector) if is_base64 else vector.tolist(),
                    )
                    for index, vector in enumerate(vectors)
                ],
                model=model,
                usage=Usage(prompt_tokens=prompt_tokens, total_tokens=prompt_tokens),
            )
        )
    )


def _inputs(given: str | list[Any]) -> list[str | list[int]]:
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(entry, int) for entry in given):
        return [given]
    if given and all(isinstance(entry, str | list) for entry in given):
        return given
    raise RequestRefusedError("Invalid 'input': give a text, a list of texts or token numbers.", param="input")


def _unit_vector(text: str, dimensions: int) -> "array[float]":
    numbers = array("h", hashlib.shake_128(text.encode("utf-8", "replace")).digest(2 * dimensions))
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return array("f", [number / length for number in numbers])


def _base64(vector: "array[float]") -> str:
    little_endian = vector
    if sys.byteorder == "big":
        little_endian = vector[:]
        little_endian.byteswap()
    return base64.b64encode(little_endian.tobytes()).decode()
