"""Turns the organisation and the user that a caller passes into keys. The model is checked, not only the number.

Nothing here queries the database, because callers wait for it. The ledger looks the keys up when it drains the call.
"""

from __future__ import annotations

import functools
import logging
import operator
import uuid
from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple

from django.conf import settings
from django.utils.module_loading import import_string

from usage_billing.conf import conf, has_django_settings

logger = logging.getLogger(__name__)

ORGANIZATION = "usage_billing.organization"
MOST_DIGITS = 19
"""The most digits of a number that may be an id. No column holds a longer one."""


UNREADABLE = {"org_id": "unreadable", "org_key": "", "org_name": "", "org_timezone": ""}
"""The organisation of a call whose organisation could not be read: no id, so the ledger charges `unattributed`."""


class OrganizationKey(NamedTuple):
    """Identifies an organisation of the project. The ledger creates its own `Organization` at the key's first call.

    key: at most 100 characters, never reused, such as a UUID. name: shown on pages. timezone: of the billing day; if
    empty, the project's.
    """

    key: str
    name: str = ""
    timezone: str = ""


def organization(given: Any) -> dict[str, Any]:
    """The fields of `Attribution` that name the organisation; an empty dict for None.

    Takes an `Organization`, its id, an `OrganizationKey`, or an argument of `AI_COSTS["ORGANIZATION_RESOLVER"]`. If
    there is no resolver, any other object is refused: the call goes to the organisation `unattributed`, and its
    record names the object.
    """
    if given is None:
        return {}
    resolved = given
    if label(given) != ORGANIZATION and not isinstance(given, OrganizationKey) and (resolve := _resolver()):
        resolved = resolve(given)
    if isinstance(resolved, OrganizationKey):
        return {
            "org_id": None,
            "org_key": str(resolved.key),
            "org_name": str(resolved.name),
            "org_timezone": str(resolved.timezone),
        }
    if label(resolved) == ORGANIZATION and resolved.pk is not None:
        return _by_id(resolved.pk)
    if _is_resolved_by_id(resolved, given):
        return _by_id(resolved)
    return _by_id(refused(given, 'Pass an Organization, or set AI_COSTS["ORGANIZATION_RESOLVER"]'))


def user(given: Any) -> Any:
    """The key of a user, given as an instance of the user model or as the key itself. None for any other object."""
    if type(given) is int or not _is_object(given):
        return key(given)
    if getattr(given, "pk", None) is None and hasattr(given, "pk"):
        return None  # nobody is logged in, or the user is not saved
    if has_django_settings() and (label(given) == settings.AUTH_USER_MODEL.lower() or _is_child_of_user(given)):
        return key(given.pk)
    refused(given, f"Pass a {_user_model()} or its key")
    return None


def reference(given: Any) -> str | None:
    """The key of a workflow or a content piece as text, exactly as written; `given` is an object or its key.

    Any model of the project may stand for one, but neither its users nor its organisations. None for these, and for
    an object without a key.
    """
    if not _is_object(given):
        return None if given is None else str(_plain(given))
    if not isinstance(given, type) and getattr(given, "pk", None) is not None and not _is_somebody(given):
        return str(_plain(given.pk))
    refused(given, "Pass an object with a primary key, or a key, as workflow_id and content_id")
    return None


def label(thing: Any) -> str:
    """`app.model` of a model instance; empty for anything else."""
    meta = getattr(thing, "_meta", None)
    concrete = getattr(meta, "concrete_model", None)
    return str(concrete._meta.label_lower) if concrete is not None and not isinstance(thing, type) else ""


def key(value: Any) -> Any:
    """Convert a key to a JSON value: a number or text. Text that spells a number becomes the number."""
    if type(value) is int:
        return value
    plain = _plain(value)
    if isinstance(plain, str) and len(plain) <= MOST_DIGITS and plain.isdecimal() and plain.isascii():
        number = int(plain)
        return number if str(number) == plain else plain  # "007" may be a key of its own
    return plain


def _plain(value: Any) -> Any:
    """Return a key as an `int`, `str` or None, whatever subclass of these, UUID or number of numpy it is."""
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or isinstance(value, bool):
        return None if value is None else str(value)
    return operator.index(value) if isinstance(value, Integral) else str(value)


def _is_object(value: Any) -> bool:
    """Whether it is no key: neither a number, a text, a UUID nor None."""
    return isinstance(value, bool) or not (value is None or isinstance(value, str | uuid.UUID | Integral))


def refused(thing: Any, advice: str) -> str:
    """Log a refused object once per model, and return a text that identifies it and cannot be a key."""
    name = label(thing) or type(thing).__name__
    _log_once(name, advice)
    return f"{name}:{getattr(thing, 'pk', None)}"


@functools.cache
def _log_once(name: str, advice: str) -> None:
    logger.error("Calls are recorded without the %s that usage_context was given. %s.", name, advice)


def _by_id(value: Any) -> dict[str, Any]:
    return {"org_id": key(value), "org_key": "", "org_name": "", "org_timezone": ""}


def _is_resolved_by_id(resolved: Any, given: Any) -> bool:
    """Whether it is the id of an `Organization`: a number or text, and no resolver is configured."""
    is_id = type(resolved) is int or (isinstance(resolved, Integral | str) and not isinstance(resolved, bool))
    return is_id and resolved is given and not _resolver()


def _resolver() -> Callable[[Any], Any] | None:
    path = conf.ORGANIZATION_RESOLVER
    return _imported(path) if path else None


@functools.cache
def _imported(path: str) -> Callable[[Any], Any]:
    found: Callable[[Any], Any] = import_string(path)
    return found


def _is_somebody(thing: Any) -> bool:
    """Whether it is a user or an organisation of the ledger."""
    if label(thing) == ORGANIZATION:
        return True
    return has_django_settings() and (label(thing) == settings.AUTH_USER_MODEL.lower() or _is_child_of_user(thing))


def _user_model() -> str:
    return str(settings.AUTH_USER_MODEL) if has_django_settings() else "user"


def _is_child_of_user(thing: Any) -> bool:
    """Whether it is an instance of a child of the user model (multi-table inheritance)."""
    parents = getattr(getattr(thing, "_meta", None), "all_parents", ())
    return any(parent._meta.label_lower == settings.AUTH_USER_MODEL.lower() for parent in parents)
