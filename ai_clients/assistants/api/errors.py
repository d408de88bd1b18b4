"""How the API says that a run came to nothing: as of any call (`answers`), and what it cost."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiResponse

from ai_clients.assistants.api.answers import CallFailed, what_failed
from ai_clients.assistants.api.serializers import EstimateSerializer
from ai_clients.assistants.runs.run import UnfinishedRunError

_ERROR = {"$ref": "#/components/schemas/Error"}
RESPONSES = {
    422: OpenApiResponse(_ERROR, "The model refused, or the answer was cut off; `details` has what it cost."),
    502: OpenApiResponse(_ERROR, "The provider failed; `details` tell whether and when a retry makes sense."),
}


class RunFailed(CallFailed):
    """A run that came to nothing: `details` tell what it cost, and whether and when a retry makes sense."""

    def __init__(self, unfinished: UnfinishedRunError) -> None:
        error = unfinished.__cause__
        told = what_failed(error)
        if told is None:
            raise TypeError("A run is unfinished for a reason of the provider's.") from error
        if told["code"] == "provider_error":
            told["provider"] = unfinished.provider
        told |= {"workflow_id": unfinished.workflow_id, "cost": EstimateSerializer(unfinished.spent).data}
        super().__init__(told)
