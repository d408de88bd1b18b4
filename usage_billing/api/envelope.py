"""The shape of every answer: `{"success": true, "data": …}`, or an error as `errors` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import JSONRenderer


class EnvelopeRenderer(JSONRenderer):
    """Puts the data of a view under `data`."""

    # JSON of RFC 8259 whatever REST_FRAMEWORK says.
    compact, ensure_ascii, strict = True, False, True

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        response = (renderer_context or {}).get("response")
        if response is not None and response.status_code == 204:
            return b""
        enveloped = data if response is not None and response.exception else {"success": True, "data": data}
        return bytes(super().render(enveloped, accepted_media_type, renderer_context))
