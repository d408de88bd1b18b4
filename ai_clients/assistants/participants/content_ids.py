"""The `content_id` of calls about a participant, by which an index finds them, and its title on the pages of costs."""

from __future__ import annotations

from collections.abc import Collection

from ai_clients.assistants.models import Participant
from usage_billing.tenancy.scope import Scope

CONTENT_TYPE = "participant"
_BEGINNING = f"{CONTENT_TYPE}-"


def content_id_of(participant: Participant) -> str:
    return f"{_BEGINNING}{participant.pk}"


def titles(scope: Scope, ids: Collection[str]) -> dict[str, str]:
    """Content id → name of the participants whom the person may see."""
    people = Participant.objects.filter(pk__in=[key for key in map(_key, ids) if key is not None])
    if not scope.everything:
        people = people.filter(org_id__in=scope.org_ids)
    return {content_id_of(each): each.name for each in people}


def _key(content_id: str) -> int | None:
    """A caller may give any content id."""
    number = content_id.removeprefix(_BEGINNING)
    is_ours = content_id.startswith(_BEGINNING) and number.isascii() and number.isdecimal() and len(number) < 19
    return int(number) if is_ours else None
