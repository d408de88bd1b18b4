"""The API's tokens: JSON Web Tokens (RFC 7519) of a session.

A log-in makes a row of `Session` and two tokens that name it by their claim `sid`. The access token opens the API for
minutes. The refresh token gives the next pair, once: the row knows which refresh token is the current one. Deleting the
row ends all tokens of the session at once.

The tokens do not depend on the settings of djangorestframework-simplejwt, which the host project may use for its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext, gettext_lazy
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from usage_billing.auth.session_store import SessionStore, hashed
from usage_billing.auth.sessions import note_use
from usage_billing.conf import conf
from usage_billing.models import Session

ACCESS, REFRESH = "access", "refresh"
LIFETIMES = {ACCESS: timedelta(minutes=15), REFRESH: timedelta(days=7)}
REPLAY_GRACE = timedelta(seconds=10)
"""Two requests of one client may refresh at once. Later than that, a used refresh token is a stolen one."""
CHALLENGE = 'Bearer realm="api"'

_ALGORITHM = "HS256"
_CLAIMS = ("typ", "sid", "jti", "iat", "exp")


class InvalidTokenError(AuthenticationFailed):
    default_detail = gettext_lazy("Token is invalid")
    default_code = "token_not_valid"


@dataclass(frozen=True)
class Pair:
    """An access token, a refresh token, the refresh token's id and its end."""

    access: str
    refresh: str
    refresh_id: str
    expires_at: datetime


def signing_key() -> str:
    """Return the setting `TOKEN_KEY`; without one, the project's SECRET_KEY."""
    return str(conf.TOKEN_KEY or settings.SECRET_KEY)


# ── The life of a session ────────────────────────────────────────────────────────────────────────────────────────


def begin_session(request: Any, user: Any) -> Pair:
    """Log in: store a session and return its first pair of tokens."""
    session_id = uuid4().hex
    pair = _issue(session_id)
    state = {SESSION_KEY: str(user.pk), HASH_SESSION_KEY: user.get_session_auth_hash(), "refresh_id": pair.refresh_id}
    key = hashed(Session.Kind.API, session_id)
    Session.objects.create(
        session_key=key, kind=Session.Kind.API, user=user, session_data=_encoded(state), expire_date=pair.expires_at
    )
    note_use(request, key)
    return pair


def refresh_session(request: Any, refresh: str) -> Pair:
    """Exchange the current refresh token for the next pair. A used one that comes back later ends the session.

    Raises DRF's `AuthenticationFailed`.
    """
    claims = read(refresh, REFRESH)
    session = _session(claims)
    if session is None:
        raise InvalidTokenError(gettext("This session has ended."))
    _checked_user(session)
    state, now = _decoded(session), timezone.now()
    if claims["jti"] != state["refresh_id"]:
        is_just_used = claims["jti"] == state.get("previous_id")
        if not is_just_used or state["refreshed_at"] < (now - REPLAY_GRACE).timestamp():
            session.delete()
        raise InvalidTokenError(gettext("This refresh token has been used."))
    pair = _issue(claims["sid"])
    state |= {"refresh_id": pair.refresh_id, "previous_id": claims["jti"], "refreshed_at": now.timestamp()}
    # If two requests use one token at the same moment, the second finds the row changed.
    unchanged = Session.objects.filter(pk=session.pk, session_data=session.session_data)
    if not unchanged.update(session_data=_encoded(state), expire_date=pair.expires_at):
        raise InvalidTokenError(gettext("This refresh token has been used."))
    note_use(request, session.pk)
    return pair


def revoke_session(refresh: str) -> None:
    """Log out: end the session of a refresh token, with all of its tokens."""
    session = _session(read(refresh, REFRESH))
    if session is None:
        raise InvalidTokenError(gettext("This session has ended."))
    session.delete()


# ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────


def read(token: str | bytes, kind: str) -> dict[str, Any]:
    """Return the claims of a token of this kind, signed by us and not expired. Raises `InvalidTokenError`."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token, signing_key(), algorithms=[_ALGORITHM], options={"require": list(_CLAIMS), "verify_iat": False}
        )
    except jwt.ExpiredSignatureError:
        raise InvalidTokenError(gettext("Token is expired")) from None
    except jwt.InvalidTokenError:
        raise InvalidTokenError from None
    if claims["typ"] != kind:
        raise InvalidTokenError(gettext("Token has wrong type"))
    return claims


def _issue(session_id: str) -> Pair:
    now = datetime.now(UTC)
    refresh_id = uuid4().hex
    return Pair(
        access=_signed(ACCESS, session_id, uuid4().hex, now),
        refresh=_signed(REFRESH, session_id, refresh_id, now),
        refresh_id=refresh_id,
        expires_at=(now + LIFETIMES[REFRESH]).replace(microsecond=0),
    )


def _signed(kind: str, session_id: str, token_id: str, now: datetime) -> str:
    claims = {"typ": kind, "sid": session_id, "jti": token_id, "iat": now, "exp": now + LIFETIMES[kind]}
    return jwt.encode(claims, signing_key(), algorithm=_ALGORITHM)


def _session(claims: dict[str, Any]) -> Session | None:
    rows = Session.objects.filter(expire_date__gt=timezone.now(), user__isnull=False)
    return rows.filter(pk=hashed(Session.Kind.API, claims["sid"])).first()


def _checked_user(session: Session) -> Any:
    """Return the session's user. Raises `AuthenticationFailed` if they may not log in or have another password now."""
    user: Any = session.user
    if not user.is_active:
        raise AuthenticationFailed(gettext("User is inactive"), "user_inactive")
    known = _decoded(session).get(HASH_SESSION_KEY, "")
    hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    if not any(constant_time_compare(known, each) for each in hashes):
        raise AuthenticationFailed(gettext("The user's password has been changed."), "password_changed")
    return user


def _encoded(state: dict[str, Any]) -> str:
    return str(SessionStore().encode(state))


def _decoded(session: Session) -> dict[str, Any]:
    state: dict[str, Any] = SessionStore().decode(session.session_data)
    return state


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer` with an access token. `request.auth` holds its claims."""

    def authenticate(self, request: Request) -> tuple[Any, dict[str, Any]] | None:
        kind, *tokens = get_authorization_header(request).split() or [b""]
        if kind != b"Bearer":
            return None
        if len(tokens) != 1:
            text = gettext("Authorization header must contain two space-delimited values")
            raise AuthenticationFailed(text, "bad_authorization_header")
        claims = read(tokens[0], ACCESS)
        return self.get_user(claims), claims

    def get_user(self, claims: dict[str, Any]) -> Any:
        """Return the user of the token's session. Raises `AuthenticationFailed` if the session does not hold."""
        session = _session(claims)
        if session is None:
            raise AuthenticationFailed(gettext("This session has ended."), "token_revoked")
        return _checked_user(session)

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE
