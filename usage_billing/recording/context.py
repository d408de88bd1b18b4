"""The attribution of the calls made now: organisation, user, agent and so on."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

import msgspec

from usage_billing.recording import identity
from usage_billing.recording import tags as bounded_tags
from usage_billing.recording.texts import text
from usage_billing.recording.yield_safe import OpenBlock, YieldSafeVar

P = ParamSpec("P")
R = TypeVar("R")

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
    tags: dict[str, str] = {}


NOBODY = Attribution()
UNDETERMINED = "undetermined"
"""The organisation of a call that nobody can assign to one of two: no id, so the ledger charges `unattributed`."""


class Caller(NamedTuple):
    """The attribution of the running code, and the function that finds the user of its Django request."""

    attribution: Attribution = NOBODY
    request_user: Callable[[], Any] | None = None


def _in_common(newer: Caller, older: Caller) -> Caller:
    """Return what both callers agree on. An organisation that they do not agree on is undetermined."""
    one, other = newer.attribution, older.attribution
    fields = {name: value for name in _PLAIN_FIELDS if (value := getattr(one, name)) == getattr(other, name)}
    if not fields.keys() >= {"org_id", "org_key"}:
        fields |= {"org_id": UNDETERMINED, "org_key": "", "org_name": "", "org_timezone": ""}
    metadata = {key: value for key, value in one.metadata.items() if other.metadata.get(key) is value}
    tags = {key: value for key, value in one.tags.items() if other.tags.get(key) == value}
    have_same_user = "user_id" in fields and newer.request_user is older.request_user
    return Caller(Attribution(**fields, metadata=metadata, tags=tags), newer.request_user if have_same_user else None)


_PLAIN_FIELDS = tuple(name for name in Attribution.__struct_fields__ if name not in ("metadata", "tags"))
_caller: YieldSafeVar[Caller] = YieldSafeVar("usage_caller", default=Caller(), in_common=_in_common)


def current_attribution() -> Attribution:
    """Return the attribution of a call made here and now.

    If no context names a user, it is that of the Django request. The user is looked up only now: a request that makes
    no AI call never pays for the look-up, and a request that logs in while it runs (JWT) gets the right user.
    """
    attribution, of_request = _caller.get(sys._getframe())
    if attribution.user_id is not None or of_request is None:
        return attribution
    try:
        user_id = identity.user(of_request())
    except Exception:
        logger.exception("The user of this request could not be read; the AI call is recorded without one.")
        return attribution
    return attribution if user_id is None else msgspec.structs.replace(attribution, user_id=user_id)


class CallerBlock:
    """A context manager that makes somebody the caller of the code inside. It can be entered again after its end."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: OpenBlock[Caller] | None = None

    def caller(self, outer: Caller) -> Caller:
        """Return the caller of the block, given that of the code around it."""
        raise NotImplementedError

    def __enter__(self) -> Attribution:
        """Begin the block; return its attribution."""
        if self._open is not None:
            raise RuntimeError("This context is entered already: make another with usage_context().")
        frame = sys._getframe(1)
        caller = self.caller(_caller.get(frame))
        self._open = _caller.open(caller, frame)
        return caller.attribution

    def __exit__(self, *_: object) -> None:
        """End the block. This works in any order, thread and task."""
        if self._open is not None:
            opened, self._open = self._open, None
            _caller.close(opened)


class usage_context(CallerBlock):
    """Attribute the AI calls made inside to this organisation, user, agent and so on: objects or their ids.

    An organisation of the project's own is one that `AI_COSTS["ORGANIZATION_RESOLVER"]` takes. Contexts nest: an inner
    value wins, other values are inherited, and `tags` and `metadata` are merged key by key. Reports filter and group by
    `tags`: up to 10 short words by key; an empty value removes a tag. `metadata` describes one call; a function in it
    is called when the call is over, and its result is recorded. Tasks started inside inherit the context; for threads
    and executors there is `with_usage_context`.

    In a generator, the context holds for the generator's own code and not for its reader. In a context manager built
    on a generator (`contextlib`, a pytest fixture), it holds for the body. docs/recording.md has the rules.
    """

    __slots__ = ("_given",)

    def __init__(
        self,
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
        tags: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._given = {
            "org": org,
            "user": user,
            "agent_id": agent_id,
            "request_type": request_type,
            "workflow_id": workflow_id,
            "content_id": content_id,
            "platform": platform,
            "content_type": content_type,
            "task_type": task_type,
            "tags": tags,
            "metadata": metadata,
        }

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or a coroutine function, so that each of its calls has a context like this one."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def attributed_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with usage_context(**self._given):
                    return await function(*args, **kwargs)

            return attributed_async  # type: ignore[return-value]

        @functools.wraps(function)
        def attributed(*args: P.args, **kwargs: P.kwargs) -> R:
            with usage_context(**self._given):
                return function(*args, **kwargs)

        return attributed

    def caller(self, outer: Caller) -> Caller:
        """Return the caller with the given values, which win over those of the code around it."""
        given, inherited = self._given, outer.attribution
        fields: dict[str, Any] = {name: text(given[name]) for name in _WORDS if given[name] is not None}
        # No outer value replaces an unreadable one: the call would be charged to somebody whom nobody named.
        for name in _REFERENCES:
            if given[name] is not None:
                fields[name] = _safely(identity.reference, given[name], None)
        if given["user"] is not None:
            fields["user_id"] = _safely(identity.user, given["user"], None)
        if given["org"] is not None:
            fields |= _safely(identity.organization, given["org"], _no_organization(outer, fields))
        if given["tags"] is not None:
            fields["tags"] = bounded_tags.merged(inherited.tags, given["tags"])
        if given["metadata"] is not None:
            fields["metadata"] = inherited.metadata | _by_text(given["metadata"])
        return Caller(msgspec.structs.replace(inherited, **fields), outer.request_user)


def _no_organization(outer: Caller, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an organisation that cannot be read: not an outer one, nor that of the user."""
    around = outer.attribution
    others = (around.org_id, around.org_key or None, around.user_id, fields.get("user_id"), outer.request_user)
    return {} if all(other is None for other in others) else identity.UNREADABLE


_WORDS = ("agent_id", "request_type", "platform", "content_type", "task_type")
_REFERENCES = ("workflow_id", "content_id")


class request_user(CallerBlock):
    """Use `look_up` for the user's id (or None) of the calls made inside, unless a `usage_context` gives a user."""

    __slots__ = ("_look_up",)

    def __init__(self, look_up: Callable[[], Any]) -> None:
        super().__init__()
        self._look_up = look_up

    def caller(self, outer: Caller) -> Caller:
        """Return the caller around with this user."""
        return Caller(outer.attribution, self._look_up)


class restored(CallerBlock):
    """Attribute the AI calls made inside to this alone, whatever holds around it: for code of another thread."""

    __slots__ = ("_attribution",)

    def __init__(self, attribution: Attribution) -> None:
        super().__init__()
        self._attribution = attribution

    def caller(self, outer: Caller) -> Caller:
        """Return the given attribution's caller."""
        return Caller(self._attribution)


def _safely(read: Callable[[Any], Any], thing: Any, otherwise: Any) -> Any:
    """Return what `read` makes of a caller's object; `otherwise`, with a line in the log, if that raises."""
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
