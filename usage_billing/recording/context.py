"""The attribution of the calls made now: organisation, user, agent and so on."""

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
    """The attribution of a call, as ids and plain words; everything is optional."""

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
    """Return the attribution of a call made here and now.

    If no context names a user, it is that of the Django request. The user is looked up only now: a request that makes
    no AI call never pays for the look-up, and a request that logs in while it runs (JWT) gets the right user.
    """
    attribution = _current.get()
    if attribution.user_id is not None or (of_request := _request_user.get()) is None:
        return attribution
    try:
        user_id = identity.user(of_request())
    except Exception:
        logger.exception("The user of this request could not be read; the AI call is recorded without one.")
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
    """Attribute the AI calls made inside to this organisation, user, agent and so on: objects or their ids.

    An organisation of the project's own is one that `AI_COSTS["ORGANIZATION_RESOLVER"]` takes. Contexts nest: an inner
    value wins, other values are inherited, and `metadata` is merged key by key. A function in `metadata` is called when
    a call is over, and its result is recorded. Tasks started inside inherit the context, and so do threads started with
    a copy of it.
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
    """Use `look_up` for the user's id (or None) of the calls made inside, unless a `usage_context` gives a user."""
    token = _request_user.set(look_up)
    try:
        yield
    finally:
        _request_user.reset(token)


def _id(thing: Any) -> Any:
    """The key of a workflow or a content piece: an object's primary key, or the value itself."""
    return identity.key(getattr(thing, "pk", thing))


def _safely(read: Callable[[Any], Any], thing: Any, otherwise: Any) -> Any:
    """Return what `read` makes of a caller's object; `otherwise`, with a line in the log, if that raises."""
    if thing is None:
        return otherwise
    try:
        return read(thing)
    except Exception:
        logger.exception("The id of a %s could not be read; AI calls are recorded without it.", type(thing).__name__)
        return otherwise


def _by_text(metadata: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the metadata with its keys as text; an empty dict if it is no mapping or cannot be read."""
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
    """Return the value as a plain `str`. An object whose `__str__` fails is written as its class."""
    try:
        # `isinstance` calls the object too: a lazy one may fail here.
        return str.__str__(value if isinstance(value, str) else str(value))
    except Exception:  # noqa: BLE001 - the caller's object; neither the caller nor the call may suffer from it
        return f"<{type(value).__name__}>"
