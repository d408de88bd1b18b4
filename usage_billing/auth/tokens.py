"""Sessions of the API: the tokens of one log-in, which end together.

Their name is the claim `sid` of all of them, and a row of `Session` stands for them: without it each of them is
refused, the access tokens, too. Each refresh gives a new refresh token and spends the old one. (Apart from the views,
which DRF cannot import this early.)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.utils.translation import gettext
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import AuthenticationFailed, TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken, Token
from rest_framework_simplejwt.utils import aware_utcnow

from usage_billing.auth.session_store import SessionStore, hashed
from usage_billing.auth.sessions import note_use
from usage_billing.models import Session

SESSION_CLAIM = "sid"
REPLAY_GRACE = timedelta(seconds=10)
"""Two requests of one client may refresh at once. Later than that, a spent refresh token is a stolen one."""


class SessionToken(RefreshToken):
    """A refresh token of a session. It can be spent once; used again later, it ends the session."""

    @classmethod
    def for_user(cls, user: Any) -> Any:
        token = super().for_user(user)
        token[SESSION_CLAIM] = uuid4().hex
        return token

    def check_blacklist(self) -> None:
        if has_ended(self):
            raise TokenError(gettext("This session has ended."))
        spent = BlacklistedToken.objects.filter(token__jti=self["jti"]).first()
        if spent is not None:
            if spent.blacklisted_at < aware_utcnow() - REPLAY_GRACE:
                self.end_session()
            raise TokenError(gettext("This refresh token has been used."))

    def blacklist(self) -> Any:
        """Spend it. Of two who do so at the same moment, one is refused."""
        got: Any = super().blacklist()  # what `get_or_create` gives, whatever its annotation says
        spent, is_first = got
        if not is_first:
            raise TokenError(gettext("This refresh token has been used."))
        return spent

    def end_session(self) -> None:
        """From now on every token of the session is refused."""
        Session.objects.filter(pk=session_row_key(self)).delete()


def session_row_key(token: Token) -> str:
    """The primary key of the `Session` that a token belongs to."""
    return hashed(Session.Kind.API, token.get(SESSION_CLAIM, ""))


def begin_session(request: Any, user: Any, token: Token) -> None:
    """Make the row of a session whose first refresh token this is."""
    key = session_row_key(token)
    # What tells that a session is from before a change of password is the same as in a browser's.
    told = SessionStore().encode({SESSION_KEY: str(user.pk), HASH_SESSION_KEY: user.get_session_auth_hash()})
    Session.objects.create(
        session_key=key, kind=Session.Kind.API, user=user, session_data=told, expire_date=_expires_at(token)
    )
    note_use(request, key)


def go_on(request: Any, token: Token) -> None:
    """Keep the session of a new refresh token for as long as that one is valid."""
    note_use(request, session_row_key(token), expire_date=_expires_at(token))


def _expires_at(token: Token) -> datetime:
    return datetime.fromtimestamp(token["exp"], UTC)


def has_ended(token: Token) -> bool:
    return not Session.objects.filter(pk=session_row_key(token)).exists()


@receiver(pre_save, sender=OutstandingToken)
def keep_no_token(instance: OutstandingToken, **_signal: Any) -> None:
    """The list of issued tokens needs their ids; the tokens themselves would open the door to whoever reads it."""
    instance.token = ""


class TokenAuthentication(JWTAuthentication):
    """Whose token it is, unless they were deactivated, changed their password or ended the session since."""

    def get_user(self, validated_token: Token) -> Any:
        user = super().get_user(validated_token)
        if has_ended(validated_token):
            raise AuthenticationFailed(gettext("This session has ended."), code="token_revoked")
        return user
