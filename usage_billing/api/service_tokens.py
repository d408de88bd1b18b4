"""`/api/billing/service-tokens`: people make, rotate and revoke the tokens of programs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from usage_billing.api import examples
from usage_billing.api.base import ScopedView
from usage_billing.api.budgets import ID
from usage_billing.api.lists import OrgListSerializer, listed, org_of, page_of, refusals_answered
from usage_billing.api.schema import NO_CONTENT, refusal
from usage_billing.api.service_token_serializers import (
    NewServiceTokenSerializer,
    RotateBody,
    ServiceTokensSerializer,
    TokenBody,
)
from usage_billing.auth import service_tokens
from usage_billing.models import ServiceToken
from usage_billing.models.fields import LARGEST_ID

MAY_NOT = refusal(
    "The caller is no owner of the organisation; or a request by session has no CSRF token.",
    examples.NOT_AN_OWNER_OF_TOKENS,
    examples.WITHOUT_CSRF,
)
_NO_TOKEN = refusal("There is no such token, or the caller may not see it.", examples.NO_TOKEN)


class OfServiceTokensView(ScopedView):
    """Service tokens do not open it: a program that makes tokens could outlive its own end."""

    tag = "Service tokens"

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @property
    def by(self) -> str:
        """The person's name in histories."""
        return str(self.request.user.get_username())

    def token(self, id: str) -> ServiceToken:
        """The token, if the person may see it. Another tenant's answers 404, as one that does not exist."""
        visible = service_tokens.visible(self.scope)
        found = visible.filter(pk=int(id)).first() if int(id) <= LARGEST_ID else None
        if found is None:
            raise NotFound(_("There is no such token."))
        return found

    def made(self, token: ServiceToken, text: str) -> Response:
        answer = NewServiceTokenSerializer(token, context={"now": self.now, "token": text})
        return Response(answer.data, status=201)


class ServiceTokenListView(OfServiceTokensView):
    @extend_schema(
        operation_id="service_tokens_list",
        parameters=[OrgListSerializer],
        responses={200: ServiceTokensSerializer, 400: refusal("A parameter is not valid.", examples.WRONG_PAGE)},
        examples=examples.recorded("service_tokens_list"),
    )
    def get(self, request: Request) -> Response:
        """List service tokens.

        Returns one page of the tokens, by name: also those that have expired or were revoked. A superadmin sees all, an
        owner those of their organisations. The tokens themselves are never answered.
        """
        given = listed(OrgListSerializer, request.query_params, self.scope)
        rows = service_tokens.visible(self.scope)
        count, items = page_of(rows.filter(org_id=given["org"]) if "org" in given else rows, given)
        answer = ServiceTokensSerializer({"count": count, "items": items}, context={"now": self.now})
        return Response(answer.data)

    @extend_schema(
        operation_id="service_tokens_create",
        request=TokenBody,
        responses={
            201: NewServiceTokenSerializer,
            400: refusal("A field is not valid; `details` names it.", examples.WRONG_EXPIRY),
            403: MAY_NOT,
        },
        examples=[examples.sent(examples.NEW_TOKEN), examples.answered(examples.MADE_TOKEN)],
    )
    def post(self, request: Request) -> Response:
        """Make a service token.

        For owners within their organisations, and for superadmins. `token` in the answer is told this once: the
        database has its SHA-256 only. The program sends it as `Authorization: Bearer`.
        """
        given = self._given(request)
        org = given.pop("org")
        with refusals_answered():
            token, text = service_tokens.create(
                scope=self.scope, by=self.by, org=None if org is None else org_of(org, self.scope), **given
            )
        return self.made(token, text)

    def _given(self, request: Request) -> dict[str, Any]:
        body = TokenBody(data=request.data, context={"scope": self.scope})
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)


class ServiceTokenView(OfServiceTokensView):
    @extend_schema(
        operation_id="service_tokens_revoke",
        parameters=[ID],
        request=None,
        responses={204: NO_CONTENT, 403: MAY_NOT, 404: _NO_TOKEN},
    )
    def delete(self, request: Request, id: str) -> Response:
        """Revoke a service token.

        It is refused everywhere within a second, and stays in the list. A second time changes nothing.
        """
        with refusals_answered():
            service_tokens.revoke(self.token(id), scope=self.scope, by=self.by)
        return Response(status=204)


class RotateServiceTokenView(OfServiceTokensView):
    """Rotate a service token.

    Makes a token that may do the same and is told this once, as `token`. The old one goes on working for
    `overlap_hours`. The new one expires as long after now as the old one did after it was made.
    """

    @extend_schema(
        operation_id="service_tokens_rotate",
        parameters=[ID],
        request=RotateBody,
        responses={
            201: NewServiceTokenSerializer,
            400: refusal("A field is not valid, or the token has ended.", examples.WRONG_OVERLAP),
            403: MAY_NOT,
            404: _NO_TOKEN,
        },
        examples=[examples.sent(examples.ROTATION), examples.answered(examples.MADE_TOKEN)],
    )
    def post(self, request: Request, id: str) -> Response:
        token = self.token(id)
        body = RotateBody(data=request.data)
        body.is_valid(raise_exception=True)
        overlap = timedelta(hours=body.validated_data["overlap_hours"])
        with refusals_answered():
            new, text = service_tokens.rotate(token, scope=self.scope, by=self.by, overlap=overlap)
        return self.made(new, text)
