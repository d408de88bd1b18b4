"""Reads what the path of a request names and the price needs, before the path is cut to the part that is kept.

The hosts of Azure, Bedrock and Vertex name the model or the deployment in the path; the answer may name another one.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_AZURE = re.compile(r"/deployments/([^/*]+)/")
_BEDROCK = re.compile(r"/model/(.+)/(?:invoke|converse)[^/]*$")
_VERTEX = re.compile(r"/models/([^/:]+):[A-Za-z]+$")
_LOCATION = re.compile(r"/locations/([a-z0-9-]{1,40})/")


class Named(NamedTuple):
    """What a path names; an empty text for what it does not.

    deployment: of Azure (`/deployments/<name>/`); of Bedrock, the model's id or ARN (`/model/<id>/invoke`); of Vertex,
    the model (`/models/<id>:rawPredict`). location: of Vertex (`/locations/<name>/`).
    """

    deployment: str = ""
    location: str = ""


def named_in(url: str) -> Named:
    """Return what the path of a URL names."""
    path = urlsplit(url).path
    deployment = _AZURE.search(path) or _BEDROCK.search(path) or _VERTEX.search(path)
    location = _LOCATION.search(path)
    return Named(unquote(deployment[1]) if deployment else "", location[1] if location else "")
