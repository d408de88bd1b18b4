"""The names that emitters give to each fact of a call, as data: newest first. The first name that is there wins.

The GenAI conventions are in development and still rename attributes; an emitter keeps the names of its version. Only
attributes that are named here are read at all: prompts, answers and headers have other names.
"""

from __future__ import annotations

from typing import Literal

from usage_billing.recording.event import Flavour

Concept = Literal[
    "provider",
    "operation",
    "request_model",
    "response_model",
    "response_id",
    "api",
    "request_tier",
    "response_tier",
    "is_stream",
    "host",
    "error",
    "http_status",
    "request_id",
    "told_cost",
    "organization",
    "project",
    "usage_block",
    "request_json",
    "answer_json",
    "span_kind",
    "seconds",
]

FACTS: dict[Concept, tuple[str, ...]] = {
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"),
    "operation": ("gen_ai.operation.name",),
    "request_model": (
        "gen_ai.request.model",
        "llm.request.model_name",
        "llm.model_name",
        "embedding.model_name",
        "ai.model.id",
    ),
    "response_model": ("gen_ai.response.model", "llm.response.model_name", "ai.response.model"),
    "response_id": ("gen_ai.response.id", "ai.response.id"),
    "api": ("openai.api.type",),
    "request_tier": ("openai.request.service_tier", "gen_ai.openai.request.service_tier"),
    "response_tier": (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "anthropic.response.service_tier",
    ),
    "is_stream": ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming"),
    "host": ("server.address", "gen_ai.openai.api_base"),
    "error": ("error.type",),
    "http_status": ("http.response.status_code",),
    "request_id": ("anthropic.request.id",),
    "told_cost": ("operation.cost", "gen_ai.usage.cost", "llm.cost.total"),
    "organization": ("anthropic.organization.id",),
    "project": ("anthropic.workspace.id",),
    # JSON texts. Of the last two only the fields of `embedded` are read: service tier, id, model and usage.
    "usage_block": ("gen_ai.usage.raw",),
    "request_json": ("llm.invocation_parameters", "request_data"),
    "answer_json": ("output.value",),
    # Logfire: `span`, or `log` for an event that is sent as a span, which tells how long the stream took.
    "span_kind": ("logfire.span_type",),
    "seconds": ("duration",),
}

Unit = Literal[
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "input_audio",
    "output_audio",
    "other_modality",
    "compaction",
]

COUNTS: dict[Unit, tuple[str, ...]] = {
    "input": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ),
    "output": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.cached_tokens",
        "gen_ai.usage.input_cached_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
    ),
    "cache_write": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.details.cache_creation_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "llm.token_count.prompt_details.cache_write",
    ),
    "cache_write_5m": ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens",),
    "cache_write_1h": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.reasoningTokens",
    ),
    "input_audio": (
        "gen_ai.usage.audio.input_tokens",
        "gen_ai.usage.details.input_audio_tokens",
        "llm.token_count.prompt_details.audio",
    ),
    "output_audio": (
        "gen_ai.usage.audio.output_tokens",
        "gen_ai.usage.details.output_audio_tokens",
        "llm.token_count.completion_details.audio",
    ),
    # Priced apart, and no usage block that we make has a field for them. Images that OpenAI and Anthropic are given
    # cost what text does.
    "other_modality": (
        "gen_ai.usage.video.input_tokens",
        "gen_ai.usage.image.output_tokens",
        "gen_ai.usage.details.audio_tokens",  # pydantic-ai: of the input or of the output
    ),
    "compaction": ("anthropic.usage.compaction.input_tokens", "anthropic.usage.compaction.output_tokens"),
}
"""Tokens. `input` is all of them, and so is `output`: the others are parts of one of these."""

OPERATIONS: dict[str, Flavour | None] = {
    "chat": "chat",
    "text_completion": "chat",
    "generate_content": "chat",
    "embeddings": "embeddings",
    # These may repeat the sums of their children.
    "invoke_agent": None,
    "create_agent": None,
    "invoke_workflow": None,
    "execute_tool": None,
    "retrieval": None,
    "plan": None,
}
"""Value of `gen_ai.operation.name` → API; None: it bills nothing. Nor does what ends in `_memory`."""

KINDS: dict[str, dict[str, Flavour | None]] = {
    # Vercel's AI SDK: only the innermost spans are calls; `ai.generateText` has the sum of its steps.
    "ai.operationId": {
        "ai.generateText.doGenerate": "chat",
        "ai.streamText.doStream": "chat",
        "ai.generateObject.doGenerate": "chat",
        "ai.streamObject.doStream": "chat",
        "ai.embed.doEmbed": "embeddings",
        "ai.embedMany.doEmbed": "embeddings",
        "": None,
    },
    "openinference.span.kind": {"LLM": "chat", "EMBEDDING": "embeddings", "": None},
    # OpenLLMetry.
    "traceloop.span.kind": {"": None},
    "llm.request.type": {"chat": "chat", "completion": "chat", "embedding": "embeddings", "": None},
}
"""Attribute of an emitter's own that tells the kind of span → its values → API; under "" what any other value means."""

ACCOUNT: dict[Concept, str] = {"organization": "organization", "project": "project"}
"""Concept → key of `Event.account`."""

USER = ("user.id", "enduser.id", "langfuse.user.id", "user.email")
"""Who used the program, in its own words."""

WORKFLOW = ("gen_ai.conversation.id", "session.id", "conversation.id")
AGENT = ("gen_ai.agent.id", "gen_ai.agent.name")

OURS = ("org", "user", "agent_id", "request_type", "workflow_id", "content_id")
"""Behind `ai_costs.`: the attribution as `usage_context` has it."""
PREFIX = "ai_costs."
TAG_PREFIX = "ai_costs.tags."
SERVICE = "service.name"

LOG_FIELDS = (
    "event.name",
    "event.kind",
    "event.timestamp",
    "event.sequence",
    "model",
    "cost_usd",
    "duration_ms",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_tokens",
    "request_id",
    "speed",
    "status_code",
    "auth_mode",
    "organization.id",
    "input_token_count",
    "output_token_count",
    "cached_token_count",
    "reasoning_token_count",
)
"""Attributes of coding agents' logs."""

WANTED = frozenset(
    {
        *(name for names in FACTS.values() for name in names),
        *(name for names in COUNTS.values() for name in names),
        *KINDS,
        *USER,
        *WORKFLOW,
        *AGENT,
        *(PREFIX + name for name in OURS),
        SERVICE,
        *LOG_FIELDS,
    }
)


def is_wanted(name: str) -> bool:
    return name in WANTED or name.startswith(TAG_PREFIX)
