"""To whom and to what the calls made now belong."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import msgspec

from usage_billing.recording import identity

logger = logging.getLogger(__name__)


class Attribution(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call is charged to, as ids and plain words; everything is optional."""

    org_id: int | str | None = None
    # An organisation of the project's own, which the ledger knows by its key (`identity.OrganizationKey`).
    org_key: str = ""
    org_name: str = ""
    org_timezone: str = ""
    user_id: int | str | None = None
    agent_id: str = ""
    request_type: str = ""
    workflow_id: str | None = None
    content_id: str | None = None
    platform: str = ""
    content_type: str = ""
    task_type: str = ""
    metadata: dict[str, Any] = {}


NOBODY = Attribution()

_current: ContextVar[Attribution] = ContextVar("usage_attribution", default=NOBODY)
_request_user: ContextVar[Callable[[], Any] | None] = ContextVar("usage_request_user", default=None)


def current_attribution() -> Attribution:
    """What a call made here and now would be charged to.

    The user of the Django request, if there is one and no context names another, is looked up only now: a request that
    makes no AI call never pays for it, and one that logs in while it runs (JWT) is charged to the right person.
    """
    attribution = _current.get()
    if attribution.user_id is not None or (of_request := _request_user.get()) is None:
        return attribution
    try:
        user_id = identity.user(of_request())
    except Exception:
        logger.exception("The user of this request could not be told; the AI call is recorded without one.")
        return attribution
    return attribution if user_id is None else msgspec.structs.replace(attribution, user_id=user_id)


@contextlib.contextmanager
def usage_context(
    *,
    org: Any = None,
    user: Any = None,
    agent_id: Any = None,
    request_type: str | None = None,
    workflow_id: Any = None,
    content_id: Any = None,
    platform: str | None = None,
    content_type: str | None = None,
    task_type: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[Attribution]:
    """Charge the AI calls made inside to this organisation, user, agent and so on.

    Objects or their ids; an organisation of the project's own by `AI_COSTS["ORGANIZATION_RESOLVER"]`.
    Contexts nest: an inner value wins, what it leaves out is inherited, `metadata` is merged key
    by key; a function in it is called when a call is over, and its result recorded. A task started inside inherits it,
    and so does a thread started with a copy of the context.
    """
    given = {
        "user_id": _safely(identity.user, user, None),
        "agent_id": _text_or_none(agent_id),
        "request_type": _text_or_none(request_type),
        "workflow_id": _text_or_none(_safely(_id, workflow_id, None)),
        "content_id": _text_or_none(_safely(_id, content_id, None)),
        "platform": _text_or_none(platform),
        "content_type": _text_or_none(content_type),
        "task_type": _text_or_none(task_type),
    }
    outer = _current.get()
    inner = msgspec.structs.replace(
        outer,
        **{name: value for name, value in given.items() if value is not None},
        **_safely(identity.organization, org, {}),
    )
    if metadata is not None:
        inner = msgspec.structs.replace(inner, metadata=outer.metadata | _by_text(metadata))
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)


@contextlib.contextmanager
def request_user(look_up: Callable[[], Any]) -> Iterator[None]:
    """Let `look_up` tell the user's id (or None) for the calls made inside that no `usage_context` gives a user."""
    token = _request_user.set(look_up)
    try:
        yield
    finally:
        _request_user.reset(token)


def _id(thing: Any) -> Any:
    """The key of a workflow or a content piece: an object's primary key, or the value itself."""
    return identity.key(getattr(thing, "pk", thing))


def _safely(read: Callable[[Any], Any], thing: Any, otherwise: Any) -> Any:
    """What `read` makes of an object of the caller's; `otherwise`, with a line in the log, if that raises."""
    if thing is None:
        return otherwise
    try:
        return read(thing)
    except Exception:
        logger.exception("The id of a %s could not be read; AI calls are recorded without it.", type(thing).__name__)
        return otherwise


def _by_text(metadata: Mapping[Any, Any]) -> dict[str, Any]:
    """The metadata with its keys as text; none, if it is no mapping or cannot be read."""
    try:
        return {text(key): value for key, value in metadata.items()}
    except Exception:
        logger.exception(
            "Metadata of type %s could not be read; AI calls are recorded without it.", type(metadata).__name__
        )
        return {}


def _text_or_none(value: Any) -> str | None:
    return None if value is None else text(value)


def text(value: Any) -> str:
    """The value as text, never of a subclass of `str`; an object that cannot say what it is, by its class."""
    try:
        # `isinstance` asks the object, too: one that is looked up late may fail here.
        return str.__str__(value if isinstance(value, str) else str(value))
    except Exception:  # noqa: BLE001 - the caller's object; neither the caller nor the call may suffer from it
        return f"<{type(value).__name__}>"
