"""Service tokens: how programs authenticate. Made, rotated and revoked by owners and superadmins.

A token is `aic_` and 43 random characters (256 bits), so its SHA-256 needs no salt, and a copy of the table opens
nothing. Each process looks a token up at most once in `RECHECK_S`: a revoked one is refused everywhere within that.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from usage_billing.budgets.access import NotAllowedError
from usage_billing.models import Organization, ServiceToken, ServiceTokenChange
from usage_billing.models.database import atomic
from usage_billing.models.service_token import PREFIX_LENGTH
from usage_billing.recording import Attribution, tags
from usage_billing.tenancy.scope import EVERYTHING, Scope, of_organization, within

logger = logging.getLogger(__name__)

BEGINNING = "aic_"
LENGTH = len(BEGINNING) + 43
RECHECK_S = 1.0
"""For how long a look-up holds. At 1,000 requests a second, a look-up for each would take most of a connection."""
AWAY_S = 3600.0
"""For how long a token that was good is taken on trust while the database does not answer."""
AWAY_RECHECK_S = 5.0
"""A database that does not answer is asked again after that: each attempt may take as long as its time-out."""
USE_NOTED_S = 60
"""`last_used_at` is as exact as that: a write for each request would be one too many."""
MOST_KNOWN = 10_000
LONGEST_NAME = 64
LONGEST_LIFE = timedelta(days=36_525)
MOST_MODELS, LONGEST_MODEL = 100, 200
TAG = "service_token"
"""The tag of a call that came with a token: its name. Reports and budgets by tag tell the tokens apart."""


class InvalidServiceTokenError(AuthenticationFailed):
    default_detail = gettext_lazy("The service token is not known, has expired or was revoked.")
    default_code = "service_token_not_valid"


@dataclass(frozen=True)
class Program:
    """The bearer of a service token, in the place of a user. It has no account: `pk` is None.

    org_id: None stands for all organisations. scopes, allowed_models: as of `ServiceToken`.
    """

    token_id: int
    name: str
    org_id: int | None
    zone: str
    scopes: frozenset[str]
    allowed_models: tuple[str, ...]
    expires_at: datetime | None

    pk = None
    is_authenticated = True
    is_anonymous = False
    is_active = True
    is_staff = False
    is_superuser = False

    @property
    def own_scope(self) -> Scope:
        """Everything, or all calls of its organisation."""
        return EVERYTHING if self.org_id is None else of_organization(self.org_id, self.zone)

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    def get_username(self) -> str:
        """The name in histories. No person has one with a colon."""
        return f"token:{self.name}"

    def __str__(self) -> str:
        return self.name


# ── Making, rotating, revoking ───────────────────────────────────────────────────────────────────────────────────


def create(
    *,
    scope: Scope,
    by: str,
    name: str,
    org: Organization | None,
    scopes: Iterable[str],
    allowed_models: Iterable[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ServiceToken, str]:
    """Make a token. Returns its row and the token itself, which nobody can read again.

    scope: of the person who makes it. by: their name. org: None for all organisations. Raises `ValidationError` by
    field and `NotAllowedError`.
    """
    check_may_change(scope, None if org is None else org.pk)
    if org is not None and org.closed_at is not None:
        raise ValidationError({"org": gettext("The organisation is closed: a token of it lets nobody in.")})
    values = _cleaned(name=name, scopes=scopes, allowed_models=allowed_models, expires_at=expires_at)
    text = BEGINNING + secrets.token_urlsafe(32)
    with atomic():
        token = ServiceToken.objects.create(
            org=org, by=by[:150], prefix=text[:PREFIX_LENGTH], digest=digest_of(text), **values
        )
        _note(token, ServiceTokenChange.Kind.CREATED, by)
    return token, text


def rotate(
    token: ServiceToken, *, scope: Scope, by: str, overlap: timedelta = timedelta(days=1)
) -> tuple[ServiceToken, str]:
    """Replace a token by a new one that may do the same. The old one goes on working for `overlap`, no longer.

    The new one expires as long after now as the old one did after it was made. Raises as `create` does.
    """
    check_may_change(scope, token.org_id)
    now = timezone.now()
    text = BEGINNING + secrets.token_urlsafe(32)
    with atomic():
        token = _locked(token)
        _check_may_rotate(token, now)
        lifetime = None if token.expires_at is None else token.expires_at - token.created_at
        new = ServiceToken.objects.create(
            org_id=token.org_id,
            name=token.name,
            prefix=text[:PREFIX_LENGTH],
            digest=digest_of(text),
            scopes=token.scopes,
            allowed_models=token.allowed_models,
            by=by[:150],
            expires_at=None if lifetime is None else now + lifetime,
        )
        ends_at = now + overlap
        token.expires_at = ends_at if token.expires_at is None else min(token.expires_at, ends_at)
        token.save(update_fields=["expires_at"])
        _note(token, ServiceTokenChange.Kind.ROTATED, by)
        _note(new, ServiceTokenChange.Kind.CREATED, by)
    return new, text


def revoke(token: ServiceToken, *, scope: Scope, by: str) -> None:
    """End a token at once. A second time changes nothing. Raises `NotAllowedError`."""
    check_may_change(scope, token.org_id)
    with atomic():
        token = _locked(token)
        if token.revoked_at is None:
            token.revoked_at = timezone.now()
            token.save(update_fields=["revoked_at"])
            _note(token, ServiceTokenChange.Kind.REVOKED, by)
    with _lock:
        _known.pop(token.digest, None)


def visible(scope: Scope) -> QuerySet[ServiceToken]:
    """The tokens that a person may see and change: superadmins all, owners those of their organisations."""
    rows = ServiceToken.objects.select_related("org")
    return rows if scope.everything else rows.filter(org_id__in=scope.owned_org_ids)


def visible_changes(scope: Scope) -> QuerySet[ServiceTokenChange]:
    """The history of the tokens that a person may see, newest first."""
    rows = ServiceTokenChange.objects.select_related("org")
    return rows if scope.everything else rows.filter(org_id__in=scope.owned_org_ids)


def state_of(token: ServiceToken, now: datetime) -> str:
    """`active`, `expired` or `revoked`."""
    if token.revoked_at is not None:
        return "revoked"
    return "active" if is_live(token, now) else "expired"


def is_live(token: ServiceToken, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def _locked(token: ServiceToken) -> ServiceToken:
    """The token as it is now, for this transaction alone: two changes at once follow each other."""
    return ServiceToken.objects.select_for_update().get(pk=token.pk)


def _check_may_rotate(token: ServiceToken, now: datetime) -> None:
    if not is_live(token, now):
        raise ValidationError(gettext("The token has expired or was revoked. Make a new one."))
    if token.changes.filter(kind=ServiceTokenChange.Kind.ROTATED).exists():
        raise ValidationError(gettext("The token was rotated already. Rotate the one that replaced it."))


def check_may_change(scope: Scope, org_id: int | None) -> None:
    """Raise `NotAllowedError` unless the person may set up tokens and provider keys there; None: for all."""
    if scope.everything:
        return
    if org_id is None:
        text = gettext("Only superadmins set up tokens and keys of all organisations. Name an organisation.")
        raise NotAllowedError("not_a_superadmin", text)
    if org_id not in scope.owned_org_ids:
        text = gettext("Only an owner of the organisation, or a superadmin, sets up its service tokens and keys.")
        raise NotAllowedError("not_an_owner", text)


def _cleaned(
    *, name: str, scopes: Iterable[str], allowed_models: Iterable[str], expires_at: datetime | None
) -> dict[str, Any]:
    """Return the columns of a new token. Raises `ValidationError` by field."""
    given = list(dict.fromkeys(scopes))
    wrong = sorted({*given} - {*ServiceToken.Scope.values})
    models = list(dict.fromkeys(model.strip() for model in allowed_models if model.strip()))
    errors: dict[str, str] = {}
    if problem := _problem_of_name(name.strip()):
        errors["name"] = problem
    if len(models) > MOST_MODELS or not all(len(each) <= LONGEST_MODEL and each.isprintable() for each in models):
        errors["allowed_models"] = gettext("Write at most %(most)d names of models, each of %(longest)d letters.") % {
            "most": MOST_MODELS,
            "longest": LONGEST_MODEL,
        }
    if not given:
        errors["scopes"] = gettext("Choose at least one thing that the token may do.")
    if wrong:
        errors["scopes"] = gettext("Not known: %(names)s.") % {"names": ", ".join(wrong)}
    now = timezone.now()
    if expires_at is not None and expires_at <= now:
        errors["expires_at"] = gettext("The end lies in the past.")
    if expires_at is not None and expires_at - now > LONGEST_LIFE:
        errors["expires_at"] = gettext("The end is more than a hundred years away. A token without an end lasts.")
    if errors:
        raise ValidationError(errors)
    return {
        "name": name.strip(),
        "scopes": [each for each in ServiceToken.Scope.values if each in given],
        "allowed_models": models,
        "expires_at": expires_at,
    }


def _problem_of_name(name: str) -> str:
    """The name is a tag of the token's calls, so it must be one as it stands."""
    if not name:
        return gettext("Give the token a name: of the program that will use it.")
    if len(name) > LONGEST_NAME:
        return gettext("Write a shorter name, of at most %(most)d letters.") % {"most": LONGEST_NAME}
    if not name.isprintable() or tags.value(name) != name:
        return gettext("Use letters, digits and signs that can be read, and do not begin with “…”.")
    return ""


def _note(token: ServiceToken, kind: ServiceTokenChange.Kind, by: str) -> None:
    ServiceTokenChange.objects.create(org_id=token.org_id, token=token, token_name=token.name, kind=kind, by=by[:150])


# ── Checking ─────────────────────────────────────────────────────────────────────────────────────────────────────


def is_token(text: str) -> bool:
    """Whether the text has the form of a token: others, of any length, are not looked up."""
    return len(text) == LENGTH and text.startswith(BEGINNING)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_known: OrderedDict[str, tuple[float, float, Program]] = OrderedDict()
"""Digest → when it was looked up, when it will be again (monotonic seconds), and who bears it."""
_lock = threading.Lock()


def program_of(text: str) -> Program | None:
    """Return the bearer of a token; None for one that is not known, has expired or was revoked.

    While the database is away, a token that was good less than `AWAY_S` ago is good. Raises `DatabaseError` for others.
    """
    if not is_token(text):
        return None
    digest, now = digest_of(text), time.monotonic()
    with _lock:
        looked_up_at, again_at, program = _known.get(digest, (-AWAY_S, -AWAY_S, None))
    if now >= again_at:
        try:
            program = _looked_up(digest)
            looked_up_at, again_at = now, now + RECHECK_S
        except DatabaseError:
            if program is None or now - looked_up_at >= AWAY_S:
                raise
            logger.warning("The database does not answer: the service token %s is taken on trust.", program.name)
            again_at = min(time.monotonic() + AWAY_RECHECK_S, looked_up_at + AWAY_S)
        with _lock:
            # What nobody bears is not kept: it would push out what somebody does.
            _known.pop(digest, None)
            if program is not None:
                _known[digest] = (looked_up_at, again_at, program)
            while len(_known) > MOST_KNOWN:
                _known.popitem(last=False)
    return None if program is None or has_expired(program) else program


def known(text: str) -> Program | None:
    """Return the bearer of a token that was looked up just now, without a look into the database; else None."""
    with _lock:
        _looked_up_at, again_at, program = _known.get(digest_of(text), (-AWAY_S, -AWAY_S, None))
    return program if time.monotonic() < again_at else None


def has_expired(program: Program) -> bool:
    return program.expires_at is not None and program.expires_at <= timezone.now()


def forget() -> None:
    """Look every token up again: for tests."""
    with _lock:
        _known.clear()


def _looked_up(digest: str) -> Program | None:
    now = timezone.now()
    with within(EVERYTHING):
        token = ServiceToken.objects.select_related("org").filter(digest=digest).first()
        if token is None or not is_live(token, now) or (token.org is not None and token.org.closed_at is not None):
            return None
        if token.last_used_at is None or (now - token.last_used_at).total_seconds() >= USE_NOTED_S:
            ServiceToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return Program(
        token_id=token.pk,
        name=token.name,
        org_id=token.org_id,
        zone="" if token.org is None else token.org.timezone,
        scopes=frozenset(token.scopes),
        allowed_models=tuple(token.allowed_models),
        expires_at=token.expires_at,
    )


class ServiceTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer aic_…`. `request.user` is the `Program`; so is `request.auth`."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        kind, *tokens = get_authorization_header(request).split() or [b""]
        if kind.lower() != b"bearer" or len(tokens) != 1 or not tokens[0].startswith(BEGINNING.encode()):
            return None
        program = program_of(tokens[0].decode("latin-1"))
        if program is None:
            raise InvalidServiceTokenError
        return program, program

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


# ── Attribution ──────────────────────────────────────────────────────────────────────────────────────────────────


def attributed(given: Attribution, program: Program) -> Attribution:
    """Return the attribution of a call that a program reports or makes: its token decides the organisation.

    A token of all organisations leaves the one that is given. The token's name is a tag that nobody else sets.
    """
    own = {name: value for name, value in given.tags.items() if tags.key(name) != TAG}
    org = (
        {} if program.org_id is None else {"org_id": program.org_id, "org_key": "", "org_name": "", "org_timezone": ""}
    )
    return msgspec.structs.replace(given, tags={TAG: program.name, **own}, **org)
