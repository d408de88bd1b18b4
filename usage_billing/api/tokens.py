"""`POST /api/token`: tokens of the API, obtained for a password, refreshed, revoked.

A part of the service: `config.urls` includes it, `api.urls` does not. `obtain` throttles wrong passwords only where
the log-in is throttled for the whole project (`auth.axes_handler`). A project without that opens the API by its own
log-in pages: a browser's session is enough for every address.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.signals import user_logged_in
from django.urls import re_path
from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from usage_billing.api import examples
from usage_billing.api.base import ApiView
from usage_billing.api.schema import refusal
from usage_billing.auth import tokens


class CredentialsSerializer(serializers.Serializer[Any]):
    """Name and password of a person."""

    password = serializers.CharField(
        write_only=True, trim_whitespace=False, style={"input_type": "password"}, help_text="Password of the person."
    )  # a space may be part of a password

    def get_fields(self) -> dict[str, Any]:
        login: Any = get_user_model()
        # No name is longer, and what axes notes of it has an end.
        longest = login._meta.get_field(login.USERNAME_FIELD).max_length
        return {
            login.USERNAME_FIELD: serializers.CharField(
                write_only=True, max_length=longest, help_text="Log-in name of the person."
            ),
            **super().get_fields(),
        }


class RefreshTokenSerializer(serializers.Serializer[Any]):
    """A refresh token."""

    refresh = serializers.CharField(write_only=True, help_text="Refresh token of the last pair.")


class TokenPairSerializer(serializers.Serializer[tokens.Pair]):
    """A pair of tokens."""

    access = serializers.CharField(help_text="Goes into `Authorization: Bearer …`. Valid for 15 minutes.")
    refresh = serializers.CharField(help_text="Gives the next pair, once. Valid for 7 days.")


_WITHOUT_TOKEN = examples.invalid(refresh=examples.REQUIRED)


class TokenView(ApiView):
    """Knows the caller by the body alone, whatever session or token comes with the request."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    tag = "Authentication"

    def get_authenticate_header(self, request: Request) -> str:
        return tokens.CHALLENGE

    def _given(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        given = serializer(data=self.request.data)
        given.is_valid(raise_exception=True)
        fields: dict[str, Any] = given.validated_data
        return fields


class ObtainView(TokenView):
    """Log in.

    Returns an access token for 15 minutes and a refresh token for 7 days, for the name and password of an active
    person. After five wrong passwords the name has to wait; `Retry-After` gives the seconds.
    """

    @extend_schema(
        operation_id="token_create",
        request=CredentialsSerializer,
        responses={
            200: TokenPairSerializer,
            400: refusal("A field is not valid; `details` names it.", examples.invalid(password=examples.REQUIRED)),
            401: refusal("No active person has this name and password.", examples.WRONG_PASSWORD),
            429: refusal(
                "Too many requests or wrong passwords; `Retry-After` gives the seconds to wait.",
                examples.LOGIN_LOCKED,
                examples.THROTTLED,
            ),
        },
        examples=[examples.sent(examples.CREDENTIALS), examples.answered(examples.TOKENS)],
    )
    def post(self, request: Request) -> Response:
        user = authenticate(request, **self._given(CredentialsSerializer))  # axes leaves its notes on the request
        if user is None:
            if getattr(request, "axes_locked_out", False):
                wait = request.login_wait  # type: ignore[attr-defined]
                raise Throttled(wait, gettext("Too many failed attempts."), "login_locked")
            text = gettext("No active account found with the given credentials")
            raise AuthenticationFailed(text, "no_active_account")
        # Django sends it for log-ins by session: it clears the count of failures and notes the time.
        user_logged_in.send(sender=type(user), request=request, user=user)
        return Response(TokenPairSerializer(tokens.begin_session(request, user)).data)


class RefreshView(TokenView):
    """Refresh the tokens.

    Returns the next pair of tokens. The refresh token that was sent cannot be used again: a second use of it, later
    than ten seconds after the first, ends the session.
    """

    @extend_schema(
        operation_id="token_refresh_create",
        request=RefreshTokenSerializer,
        responses={
            200: TokenPairSerializer,
            400: refusal("A field is not valid; `details` names it.", _WITHOUT_TOKEN),
            401: refusal("The token is not valid, used or of a session that has ended.", examples.USED_TOKEN),
        },
        examples=[examples.sent(examples.REFRESH), examples.answered(examples.TOKENS)],
    )
    def post(self, request: Request) -> Response:
        pair = tokens.refresh_session(request, self._given(RefreshTokenSerializer)["refresh"])
        return Response(TokenPairSerializer(pair).data)


class RevokeView(TokenView):
    """Log out.

    Ends the session that the refresh token belongs to, with all of its tokens, at once. Returns an empty object.
    """

    @extend_schema(
        operation_id="token_revoke_create",
        request=RefreshTokenSerializer,
        responses={
            200: {"type": "object", "description": "An empty object.", "additionalProperties": False},
            400: refusal("A field is not valid; `details` names it.", _WITHOUT_TOKEN),
            401: refusal("The token is not valid, or its session has ended.", examples.ENDED_SESSION),
        },
        examples=[examples.sent(examples.REFRESH), examples.answered({})],
    )
    def post(self, request: Request) -> Response:
        tokens.revoke_session(self._given(RefreshTokenSerializer)["refresh"])
        return Response({})


urlpatterns = [
    re_path(r"^token/?$", ObtainView.as_view(), name="token"),
    re_path(r"^token/refresh/?$", RefreshView.as_view(), name="token-refresh"),
    re_path(r"^token/revoke/?$", RevokeView.as_view(), name="token-revoke"),
]
