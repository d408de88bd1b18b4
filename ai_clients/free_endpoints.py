"""The endpoints that bill nothing by the call. A request to any other endpoint of a provider is recorded.

`*` stands for one name or id, `/**` for everything below, and for the path itself. Paths are below the version.

Sources: the resources of both SDKs; OpenAI, Pricing: moderation is free; Anthropic, Token counting: free to use. The
storage of files, vector stores and memories is billed by the day, so no request of theirs has a cost of its own.
"""

from __future__ import annotations

import functools
import re

WITH_EVERY_METHOD = (
    # Questions before a call: models, token counts, moderation.
    "/models/**",
    "/moderations",
    "/messages/count_tokens",
    "/responses/input_tokens",
    "/models/count-tokens:rawPredict",
    "/projects/*/locations/*/publishers/anthropic/models/count-tokens:rawPredict",
    "/fine_tuning/alpha/graders/validate",
    # Files, and other things that the provider keeps.
    "/files",
    "/files/*",
    "/uploads/**",
    "/skills/**",
    "/vector_stores",
    "/vector_stores/*",
    "/vector_stores/*/files/**",
    "/vector_stores/*/file_batches/**",
    "/containers/*/files/**",
    "/memory_stores/**",
    "/audio/voices/**",
    "/audio/voice_consents/**",
    "/assistants/**",
    "/conversations/**",
    "/threads",
    "/threads/*",
    "/threads/*/messages/**",
    "/chatkit/threads/**",
    "/evals",
    "/evals/*",
    # The metadata of answers, and the end of work that is recorded elsewhere.
    "/chat/completions/*",
    "/threads/*/runs/*/cancel",
    "/evals/*/runs/*/cancel",
    "/fine_tuning/checkpoints/**",
    "/fine_tuning/jobs/*/cancel",
    "/fine_tuning/jobs/*/pause",
    "/fine_tuning/jobs/*/resume",
    "/batches/*/cancel",
    "/messages/batches/*/cancel",
    "/realtime/calls/*/hangup",
    "/realtime/calls/*/refer",
    "/realtime/calls/*/reject",
    "/live/sessions/*/hangup",
    "/live/sessions/*/refer",
    "/live/sessions/*/reject",
    "/chatkit/sessions/*/cancel",
    # Agents: their definition is free, their sessions are not.
    "/agents",
    "/agents/*",
    "/agents/*/archive",
    "/agents/*/versions",
    "/agents/environments/**",
    "/agents/automations",
    "/agents/automations/*",
    "/agents/automations/*/pause",
    "/agents/automations/*/resume",
    "/agents/sessions/*",
    "/sessions/*",
    "/sessions/*/archive",
    "/sessions/*/resources/**",
    "/sessions/*/threads/*/archive",
    "/environments/**",
    "/deployments",
    "/deployments/*",
    "/deployments/*/archive",
    "/deployments/*/pause",
    "/deployments/*/unpause",
    "/dreams/*/archive",
    "/dreams/*/cancel",
    # The account.
    "/organization/**",
    "/organizations/**",
    "/projects/*/groups/**",
    "/projects/*/roles/**",
    "/projects/*/users/**",
    "/safety/**",
    "/vaults/**",
    "/tunnels/**",
    "/user_profiles/**",
    "/webhook_endpoints/**",
    "/webhook_event_types",
)

TO_READ = (
    "/agents/**",
    "/audio/**",
    "/batches/**",
    "/chat/completions/**",
    "/chatkit/**",
    "/containers/**",
    "/decisions/**",
    "/deployment_runs/**",
    "/deployments/**",
    "/dreams/**",
    "/evals/**",
    "/files/**",
    "/fine_tuning/**",
    "/images/**",
    "/live/**",
    "/messages/batches/**",
    "/realtime/**",
    "/responses/**",
    "/sessions/**",
    "/threads/**",
    "/vector_stores/**",
    "/videos/**",
)
"""Resources that a GET reads for free: the request that made them was recorded."""


def is_free(method: str, path: str) -> bool:
    """Whether the provider bills nothing for this request. No provider bills a DELETE, HEAD or OPTIONS."""
    if method not in ("GET", "POST", "PUT", "PATCH"):
        return True
    return _matches(WITH_EVERY_METHOD, path) or (method == "GET" and _matches(TO_READ, path))


def _matches(templates: tuple[str, ...], path: str) -> bool:
    return _compiled(templates).fullmatch(path) is not None


@functools.cache
def _compiled(templates: tuple[str, ...]) -> re.Pattern[str]:
    words = (re.escape(template).replace(r"/\*\*", "(/.*)?").replace(r"\*", "[^/]+") for template in templates)
    return re.compile("|".join(words), re.DOTALL)
