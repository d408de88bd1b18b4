"""Sessions of the API: the tokens of one log-in, which end together.

Their name is the claim `sid` of all of them. Each refresh gives a new refresh token and spends the old one. When the
session has ended its access tokens, too, are refused. (Apart from the views, which DRF cannot import this early.)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.utils.translation import gettext
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import AuthenticationFailed, TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken, Token
from rest_framework_simplejwt.utils import aware_utcnow

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
        if SESSION_CLAIM not in self or has_ended(self):
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
        """From now on every token of the session is refused, until the last of them has expired."""
        session, _created = OutstandingToken.objects.get_or_create(
            jti=self[SESSION_CLAIM], defaults={"expires_at": aware_utcnow() + self.lifetime}
        )
        BlacklistedToken.objects.get_or_create(token=session)


def has_ended(token: Token) -> bool:
    return BlacklistedToken.objects.filter(token__jti=token.get(SESSION_CLAIM)).exists()


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
