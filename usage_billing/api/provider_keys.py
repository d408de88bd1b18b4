"""`/api/billing/provider-keys`: people save the keys that the proxy calls providers with."""

from __future__ import annotations

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from usage_billing.api import examples
from usage_billing.api.base import ScopedView
from usage_billing.api.filters import OrgField
from usage_billing.api.lists import OrgListSerializer, QuerySerializer, listed, org_of, page_of, refusals_answered
from usage_billing.api.schema import NO_CONTENT, refusal
from usage_billing.api.service_token_serializers import KeyBody, ProviderKeySerializer, ProviderKeysSerializer
from usage_billing.api.service_tokens import MAY_NOT
from usage_billing.auth import provider_keys
from usage_billing.models import Organization, ProviderKey
from usage_billing.models.fields import LARGEST_ID

PROVIDER = OpenApiParameter(
    "provider",
    {"type": "string", "enum": ProviderKey.Provider.values},
    OpenApiParameter.PATH,
    description="The provider.",
)


class WhoseSerializer(QuerySerializer):
    """Whose key is meant."""

    org = OrgField(
        required=False,
        min_value=1,
        max_value=LARGEST_ID,
        help_text="Organisation: its id, or its slug. Left out: the key of all organisations, for superadmins.",
    )


_NO_KEY = refusal("There is no such key, or the caller may not see it.", examples.NO_KEY)


class OfProviderKeysView(ScopedView):
    """Service tokens do not open it."""

    tag = "Service tokens"

    @property
    def by(self) -> str:
        return str(self.request.user.get_username())


class ProviderKeyListView(OfProviderKeysView):
    @extend_schema(
        operation_id="provider_keys_list",
        parameters=[OrgListSerializer],
        responses={200: ProviderKeysSerializer, 400: refusal("A parameter is not valid.", examples.WRONG_PAGE)},
        examples=examples.recorded("provider_keys_list"),
    )
    def get(self, request: Request) -> Response:
        """List provider keys.

        Returns one page of the keys that the proxy calls providers with. A superadmin sees all, an owner those of their
        organisations. Keys are never answered, only their last four characters.
        """
        given = listed(OrgListSerializer, request.query_params, self.scope)
        rows = provider_keys.visible(self.scope)
        count, items = page_of(rows.filter(org_id=given["org"]) if "org" in given else rows, given)
        return Response(ProviderKeysSerializer({"count": count, "items": items}).data)


class ProviderKeyView(OfProviderKeysView):
    @extend_schema(
        operation_id="provider_keys_save",
        parameters=[PROVIDER, WhoseSerializer],
        request=KeyBody,
        responses={
            200: ProviderKeySerializer,
            400: refusal("A field or a parameter is not valid; `details` names it.", examples.WRONG_ORG),
            403: MAY_NOT,
            404: refusal("There is no such provider.", examples.NO_PROVIDER),
        },
        examples=[examples.sent(examples.NEW_KEY), examples.answered(examples.SAVED_KEY)],
    )
    def put(self, request: Request, provider: str) -> Response:
        """Save a provider key.

        For owners within their organisations, and for superadmins. It replaces the one that is there; the proxy uses it
        within five seconds. It is stored encrypted.
        """
        if provider not in ProviderKey.Provider.values:
            raise NotFound(_("There is no such provider."))
        org = self._org()
        body = KeyBody(data=request.data)
        body.is_valid(raise_exception=True)
        secret = body.validated_data["secret"]
        with refusals_answered():
            key = provider_keys.save(scope=self.scope, by=self.by, org=org, provider=provider, secret=secret)
        return Response(ProviderKeySerializer(key).data)

    @extend_schema(
        operation_id="provider_keys_remove",
        parameters=[PROVIDER, WhoseSerializer],
        request=None,
        responses={
            204: NO_CONTENT,
            400: refusal("A parameter is not valid.", examples.WRONG_ORG),
            403: MAY_NOT,
            404: _NO_KEY,
        },
    )
    def delete(self, request: Request, provider: str) -> Response:
        """Remove a provider key.

        Within five seconds the proxy uses the key of all organisations instead, if there is one. Else it refuses calls
        of this provider.
        """
        with refusals_answered():
            provider_keys.remove(self._key(provider), scope=self.scope)
        return Response(status=204)

    def _org(self) -> Organization | None:
        query = WhoseSerializer(data=dict(self.request.query_params.lists()), context={"scope": self.scope})
        query.is_valid(raise_exception=True)
        given = query.validated_data.get("org")
        return None if given is None else org_of(given, self.scope)

    def _key(self, provider: str) -> ProviderKey:
        found = provider_keys.visible(self.scope).filter(org=self._org(), provider=provider).first()
        if found is None:
            raise NotFound(_("There is no such provider key."))
        return found
