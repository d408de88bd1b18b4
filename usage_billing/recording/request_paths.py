"""Reads the names in the path of a request that its price needs, before the path is cut to the part that is kept.

The hosts of Azure, Bedrock and Vertex name the model or the deployment in the path. That name says more than the one in
the answer: Bedrock's `global.anthropic.…` and `us.anthropic.…` have different prices, and answer with the same model.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_AZURE = re.compile(r"/(?:deployments|engines)/(?P<name>[^/*]+)/")
_BEDROCK = re.compile(r"/model/(?P<name>[^*]+)/(?:invoke|converse)[^/]*$")
_VERTEX = re.compile(r"/models/(?P<name>(?!count-tokens:)[^/:*]+):[A-Za-z]+$")
_LOCATION = re.compile(r"/locations/(?P<name>[a-z0-9-]{1,40})/")
_ARN = re.compile(r"arn:[^/]+:(?P<kind>[a-z-]+)/(?P<name>[^/]+)")


class Named(NamedTuple):
    """The names in a path; an empty text for each that it lacks.

    model: of Bedrock (`/model/<id>/invoke`) and of Vertex (`/models/<id>:rawPredict`). deployment: the name that a
    customer gave to a model, on Azure (`/deployments/<name>/`) or as an inference profile on Bedrock. location: of
    Vertex (`/locations/<name>/`).
    """

    model: str = ""
    deployment: str = ""
    location: str = ""


def named_in(url: str) -> Named:
    """The names in the path of a URL. Raises `ValueError` for a URL that cannot be read."""
    return named_in_path(unquote(urlsplit(url).path))


@functools.lru_cache(maxsize=1024)
def named_in_path(path: str) -> Named:
    """The names in a path, without percent-encoding."""
    location = _name(_LOCATION.search(path))
    model = _name(_VERTEX.search(path)) or _name(_BEDROCK.search(path))
    if (arn := _ARN.fullmatch(model)) is None:
        return Named(model, _name(_AZURE.search(path)), location)
    # The ARN of an application inference profile names no model (Amazon Bedrock, Supported inference profiles).
    if arn["kind"] in ("inference-profile", "foundation-model"):
        return Named(model=arn["name"])
    return Named(deployment=arn["name"])


def _name(found: re.Match[str] | None) -> str:
    return found["name"] if found else ""
