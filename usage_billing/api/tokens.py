"""Tokens of the API: obtained for a password, refreshed, revoked."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.urls import re_path
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.views import TokenViewBase

from usage_billing.auth.tokens import SessionToken, TokenAuthentication, begin_session, go_on
from usage_billing.models.database import atomic

NAME_LENGTH = User.username.field.max_length


class TokenScheme(SimpleJWTScheme):  # type: ignore[no-untyped-call]
    target_class = "usage_billing.auth.tokens.TokenAuthentication"


class CredentialsSerializer(TokenObtainPairSerializer):
    token_class = SessionToken

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # No name is longer, and what axes notes of it has an end.
        self.fields[self.username_field] = serializers.CharField(write_only=True, max_length=NAME_LENGTH)
        # A space may be part of a password; the pages take it as one, too.
        self.fields["password"] = serializers.CharField(
            write_only=True, trim_whitespace=False, style={"input_type": "password"}
        )

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        request = self.context["request"]
        try:
            tokens = super().validate(attrs)
        except AuthenticationFailed:
            if getattr(request, "axes_locked_out", False):
                raise Throttled(request.login_wait, gettext("Too many failed attempts."), "login_locked") from None
            raise
        # Django sends it for log-ins by session: it clears the count of failures and notes the time.
        user_logged_in.send(sender=type(self.user), request=request, user=self.user)
        begin_session(request, self.user, _just_made(tokens))
        return tokens


def _just_made(tokens: dict[str, str]) -> SessionToken:
    """The refresh token of a new pair, which needs no check."""
    return SessionToken(tokens["refresh"], verify=False)  # type: ignore[arg-type]  # the library's annotation is wrong


class RefreshSerializer(TokenRefreshSerializer):
    token_class = SessionToken

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        # The library's own check knows nothing of deleted users and of changed passwords.
        TokenAuthentication().get_user(SessionToken(attrs["refresh"]))
        with atomic():
            tokens = super().validate(attrs)
            go_on(self.context["request"], _just_made(tokens))
        return tokens


class RevokeSerializer(serializers.Serializer[Any]):
    refresh = serializers.CharField(write_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        SessionToken(attrs["refresh"]).end_session()
        return {}


class TokenPairSerializer(serializers.Serializer[Any]):
    """`access` goes into `Authorization: Bearer …`; `refresh` gives the next pair, once."""

    access = serializers.CharField()
    refresh = serializers.CharField()


class TokenView(TokenViewBase):
    outside_scope = True  # of a session that comes with the request: its transaction is none of the tokens'


class ObtainView(TokenView):
    """Log in: a pair of tokens for a name and a password."""

    serializer_class = CredentialsSerializer

    @extend_schema(request=CredentialsSerializer, responses=TokenPairSerializer)
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().post(request, *args, **kwargs)


class RefreshView(TokenView):
    """The next pair of tokens; the refresh token that was sent is spent."""

    serializer_class = RefreshSerializer

    @extend_schema(request=RefreshSerializer, responses=TokenPairSerializer)
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().post(request, *args, **kwargs)


class RevokeView(TokenView):
    """Log out: end the session that a refresh token belongs to, with all of its tokens."""

    serializer_class = RevokeSerializer

    @extend_schema(request=RevokeSerializer, responses={200: {"type": "object"}})
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().post(request, *args, **kwargs)


urlpatterns = [
    re_path(r"^token/?$", never_cache(ObtainView.as_view()), name="token"),
    re_path(r"^token/refresh/?$", never_cache(RefreshView.as_view()), name="token-refresh"),
    re_path(r"^token/revoke/?$", never_cache(RevokeView.as_view()), name="token-revoke"),
]
