"""The fields of service tokens and provider keys, as they are sent and answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from usage_billing.api.body_fields import BodySerializer, CountField, GivenMomentField, GivenOrgField, TextField
from usage_billing.api.serializers import MomentField
from usage_billing.auth import service_tokens
from usage_billing.models import ProviderKey, ServiceToken
from usage_billing.models.fields import LARGEST_ID

SCOPES = (
    "What it may do: `ingest` (send usage in), `proxy` (call providers by the proxy), `read` (reports, budgets,"
    " alerts), `budgets` (read and change budgets)."
)
MODELS = "Models that it may call by the proxy. Empty: all."
EXPIRES = "When it expires, with an offset. Null: never."
NAME = "Name of the program. It is the tag `service_token` of its calls."
LONGEST_OVERLAP_H = 30 * 24
ORG_ANSWERED = "Slug of the organisation. Null: all organisations."


class TokenBody(BodySerializer):
    """A service token as it is sent."""

    name = TextField(max_length=service_tokens.LONGEST_NAME, help_text=NAME)
    org = GivenOrgField(
        min_value=1,
        max_value=LARGEST_ID,
        allow_null=True,
        default=None,
        help_text="Organisation that it acts for: its id, or its slug. Null: all, for superadmins.",
    )
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=ServiceToken.Scope.values),
        min_length=1,
        max_length=len(ServiceToken.Scope.values),
        help_text=SCOPES,
    )
    allowed_models = serializers.ListField(
        child=TextField(max_length=service_tokens.LONGEST_MODEL),
        max_length=service_tokens.MOST_MODELS,
        default=list,
        help_text=MODELS,
    )
    expires_at = GivenMomentField(allow_null=True, default=None, help_text=EXPIRES)


class RotateBody(BodySerializer):
    """How a service token is rotated."""

    overlap_hours = CountField(
        min_value=0,
        max_value=LONGEST_OVERLAP_H,
        default=24,
        help_text="For how many hours the old token goes on working beside the new one.",
    )


class KeyBody(BodySerializer):
    """A provider key as it is sent."""

    secret = TextField(
        max_length=500, write_only=True, help_text="The provider's key. It is stored encrypted and never answered."
    )


class ServiceTokenSerializer(serializers.Serializer[ServiceToken]):
    """A service token, without the token itself."""

    id = serializers.IntegerField(help_text="Id of the token.")
    name = serializers.CharField(help_text=NAME)
    prefix = serializers.CharField(help_text="Its first characters, to recognise it by.")
    org = serializers.SerializerMethodField(help_text=ORG_ANSWERED)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ServiceToken.Scope.values), help_text=SCOPES)
    allowed_models = serializers.ListField(child=serializers.CharField(), help_text=MODELS)
    state = serializers.SerializerMethodField(help_text="Whether it is `active`, `expired` or `revoked`.")
    by = serializers.CharField(help_text="Who made it.")
    created_at = MomentField(help_text="When it was made, in UTC.")
    expires_at = MomentField(
        allow_null=True, help_text="When it expires, in UTC; after a rotation, when the overlap ends. Null: never."
    )
    revoked_at = MomentField(allow_null=True, help_text="When it was revoked, in UTC. Null: it was not.")
    last_used_at = MomentField(
        allow_null=True, help_text="When it was last used, in UTC, as exact as a minute. Null: never."
    )

    def get_org(self, token: ServiceToken) -> str | None:
        return token.org.slug if token.org else None

    def get_state(self, token: ServiceToken) -> str:
        return service_tokens.state_of(token, self.context["now"])


class NewServiceTokenSerializer(ServiceTokenSerializer):
    """A service token that was just made, with the token itself."""

    token = serializers.SerializerMethodField(help_text="The token itself. It is told this once.")

    def get_token(self, _: ServiceToken) -> str:
        return str(self.context["token"])


class ServiceTokensSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of service tokens."""

    count = serializers.IntegerField(help_text="Number of all tokens that match.")
    items = ServiceTokenSerializer(many=True, help_text="The tokens of this page, by name.")


class ProviderKeySerializer(serializers.Serializer[ProviderKey]):
    """A provider key, without the key itself."""

    provider = serializers.ChoiceField(choices=ProviderKey.Provider.values, help_text="The provider.")
    org = serializers.SerializerMethodField(help_text=ORG_ANSWERED)
    hint = serializers.CharField(help_text="Its last four characters. Empty: the key is too short to show any.")
    by = serializers.CharField(help_text="Who saved it.")
    saved_at = MomentField(help_text="When it was saved, in UTC.")

    def get_org(self, key: ProviderKey) -> str | None:
        return key.org.slug if key.org else None


class ProviderKeysSerializer(serializers.Serializer[dict[str, Any]]):
    """A page of provider keys."""

    count = serializers.IntegerField(help_text="Number of all keys that match.")
    items = ProviderKeySerializer(many=True, help_text="The keys of this page, by provider.")
