"""Reads to whom a call is charged: the token decides the organisation, headers `x-ai-costs-…` tell the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from django.utils.translation import gettext as _

from ai_clients.proxy.errors import RefusedError
from ai_clients.proxy.headers import ATTRIBUTION, Headers
from usage_billing.auth.service_tokens import Program, attributed
from usage_billing.recording import Attribution, identity, tags

ORG, USER = "org", "user"
WORDS = {"agent": "agent_id", "type": "request_type", "workflow": "workflow_id", "content": "content_id"}
"""Header, after `x-ai-costs-` → field of the attribution."""
NAMES = (ORG, *WORDS, USER, "tags")
LONGEST = 255


def told_by(headers: Headers) -> dict[str, str]:
    """Return the headers `x-ai-costs-…` by the rest of their name. Raises `RefusedError` for an unreadable one."""
    told: dict[str, str] = {}
    for each, value in headers:
        if not (lower := each.lower()).startswith(ATTRIBUTION):
            continue
        name = lower.removeprefix(ATTRIBUTION).decode("latin-1")
        if name not in NAMES:
            raise _malformed(
                _("There is no header x-ai-costs-%(name)s. Known are: %(known)s.")
                % {"name": name, "known": ", ".join(f"x-ai-costs-{known}" for known in NAMES)}
            )
        if name in told:
            raise _malformed(_("Send the header x-ai-costs-%(name)s only once.") % {"name": name})
        told[name] = _text(name, value)
    return told


def attribution_of(told: Mapping[str, str], program: Program, org_id: int | None, user_key: Any) -> Attribution:
    """Return the attribution of a call. org_id, user_key: of whom the headers name; of a user who was not found, the
    name stays in the metadata, as of a recorded call.
    """
    fields: dict[str, Any] = {WORDS[name]: value for name, value in told.items() if name in WORDS and value}
    if user_key is not None:
        fields["user_id"] = identity.key(user_key)
    elif told.get(USER):
        fields["metadata"] = {"user_id": told[USER]}
    if told.get("tags"):
        fields["tags"] = _tags(told["tags"])
    return attributed(Attribution(org_id=org_id, **fields), program)


def _text(name: str, value: bytes) -> str:
    """Return a header's value. Letters beyond ASCII come as UTF-8, or percent-encoded."""
    try:
        text = unquote(value.decode("utf-8"), errors="strict").strip()
    except UnicodeDecodeError:
        text = "\x00"
    if not text.isprintable():
        raise _malformed(
            _("The header x-ai-costs-%(name)s is not readable. Send printable text in UTF-8, or percent-encoded UTF-8.")
            % {"name": name}
        )
    longest = LONGEST if name != "tags" else tags.MOST * (tags.KEY_LENGTH + tags.VALUE_LENGTH + 2)
    if len(text) > longest:
        raise _malformed(
            _("The header x-ai-costs-%(name)s has more than %(most)d characters.") % {"name": name, "most": longest}
        )
    return text


def _tags(text: str) -> dict[str, str]:
    """Read `key=value,key2=value2`."""
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    split = [pair.partition("=") for pair in pairs]
    given = {name.strip(): value.strip() for name, _equals, value in split}
    if len(given) != len(pairs) or tags.bounded(given) != given:
        raise _malformed(
            _(
                "The header x-ai-costs-tags is not readable. Send key=value,key2=value2: up to %(most)d tags, each key "
                "once and of up to %(key)d letters, digits and _ - . :, each value of up to %(value)d characters."
            )
            % {"most": tags.MOST, "key": tags.KEY_LENGTH, "value": tags.VALUE_LENGTH}
        )
    return given


def _malformed(message: Any) -> RefusedError:
    return RefusedError(400, "attribution_not_readable", message)
