"""`/api/billing/alerts`: channels and rules of alerts, and the alerts themselves."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from usage_billing import alerts
from usage_billing.alerts import editing
from usage_billing.api import examples
from usage_billing.api.alert_serializers import (
    BY,
    ChannelBody,
    ChannelSerializer,
    ChannelsSerializer,
    FiringSerializer,
    FiringsSerializer,
    RuleBody,
    RuleSerializer,
    RulesSerializer,
    TestedSerializer,
)
from usage_billing.api.base import ApiView, ScopedView
from usage_billing.api.budgets import ID
from usage_billing.api.fields import WholeNumberField
from usage_billing.api.lists import OrgListSerializer, listed, org_of, page_of, refusals_answered
from usage_billing.api.schema import NO_CONTENT, refusal
from usage_billing.models import AlertChannel, AlertFiring, AlertRule, ServiceToken
from usage_billing.models.fields import LARGEST_ID
from usage_billing.tenancy.scope import Scope, scoped


class FiringListSerializer(OrgListSerializer):
    """Filters of the list of alerts."""

    rule = WholeNumberField(required=False, min_value=1, max_value=LARGEST_ID, help_text="Id of the rule.")
    budget = WholeNumberField(required=False, min_value=1, max_value=LARGEST_ID, help_text="Id of the budget.")
    state = serializers.ChoiceField(
        required=False, choices=AlertFiring.State.values, help_text="Whether it goes on: `firing` or `resolved`."
    )


def _found(rows: Any, id: str, missing: str) -> Any:
    """The row with this id. Another tenant's answers 404, as one that does not exist."""
    found = rows.filter(pk=int(id)).first() if int(id) <= LARGEST_ID else None
    if found is None:
        raise NotFound(missing)
    return found


def _body(kind: Any, request: Request, scope: Scope, *, partial: bool = False) -> dict[str, Any]:
    body = kind(data=request.data, partial=partial, context={"scope": scope})
    body.is_valid(raise_exception=True)
    given: dict[str, Any] = dict(body.validated_data)
    return given


def _new_org(given: dict[str, Any], scope: Scope) -> Any:
    """The organisation that a new row is for."""
    org = given.pop("org", None)
    return editing.org_of_new(scope, None if org is None else org_of(org, scope))


def _same_org(given: dict[str, Any], row: AlertChannel | AlertRule, scope: Scope) -> None:
    if "org" in given:
        org = given.pop("org")
        if (None if org is None else org_of(org, scope).pk) != row.org_id:
            raise ValidationError({"org": [_("The organisation does not change. Set up another one.")]})


class OfAlertsView(ScopedView):
    tag = "Alerts"
    token_scopes_to_read = (ServiceToken.Scope.READ,)


_MAY_NOT = refusal(
    "The caller is no owner of the organisation; or a request by session has no CSRF token.",
    examples.NOT_AN_OWNER_OF_ALERTS,
    examples.WITHOUT_CSRF,
)
_WRONG_PAGE = refusal("A parameter is not valid.", examples.WRONG_PAGE)

# ── Channels ─────────────────────────────────────────────────────────────────────────────────────────────────────

_NO_CHANNEL = refusal("There is no such channel, or the caller may not see it.", examples.NO_CHANNEL)
_WRONG_CHANNEL = refusal("A field is not valid; `details` names it.", examples.WRONG_TARGET)


class ChannelListView(OfAlertsView):
    @extend_schema(
        operation_id="alert_channels_list",
        parameters=[OrgListSerializer],
        responses={200: ChannelsSerializer, 400: _WRONG_PAGE},
        examples=examples.recorded("alert_channels_list"),
    )
    def get(self, request: Request) -> Response:
        """List alert channels.

        Returns one page of the places that alerts go to, by name. A superadmin sees all, an owner those of their
        organisations. Secrets are never answered.
        """
        given = listed(OrgListSerializer, request.query_params, self.scope)
        rows = editing.visible_channels(self.scope)
        count, items = page_of(rows.filter(org_id=given["org"]) if "org" in given else rows, given)
        return Response(ChannelsSerializer({"count": count, "items": items}).data)

    @extend_schema(
        operation_id="alert_channels_create",
        request=ChannelBody,
        responses={201: ChannelSerializer, 400: _WRONG_CHANNEL, 403: _MAY_NOT},
        examples=[examples.sent(examples.NEW_CHANNEL), *examples.recorded("alert_channels_get")],
    )
    def post(self, request: Request) -> Response:
        """Set up an alert channel.

        For owners within their organisations, and for superadmins. A signed webhook without `secret` gets one, which
        `new_secret` tells this once. Private addresses are refused unless the installation allows them.
        """
        given = _body(ChannelBody, request, self.scope)
        with refusals_answered():
            channel = AlertChannel(org=_new_org(given, self.scope))
            new_secret = editing.save_channel(channel, scope=self.scope, values=given)
        return Response(ChannelSerializer(channel, context={"new_secret": new_secret}).data, status=201)


class ChannelView(OfAlertsView):
    @extend_schema(
        operation_id="alert_channels_get",
        parameters=[ID],
        responses={200: ChannelSerializer, 404: _NO_CHANNEL},
        examples=examples.recorded("alert_channels_get"),
    )
    def get(self, request: Request, id: str) -> Response:
        """Get one alert channel.

        Returns a channel that you may see: a superadmin any, an owner those of their organisations. Its secret is never
        answered.
        """
        return Response(ChannelSerializer(self._channel(id)).data)

    @extend_schema(
        operation_id="alert_channels_change",
        parameters=[ID],
        request=ChannelBody(partial=True),
        responses={200: ChannelSerializer, 400: _WRONG_CHANNEL, 403: _MAY_NOT, 404: _NO_CHANNEL},
        examples=[examples.sent({"is_active": False}), *examples.recorded("alert_channels_get")],
    )
    def patch(self, request: Request, id: str) -> Response:
        """Change an alert channel.

        What is left out stays, the secret too. An empty `secret` of a signed webhook makes up a new one, which
        `new_secret` tells this once.
        """
        return self._changed(request, id, partial=True)

    @extend_schema(
        operation_id="alert_channels_replace",
        parameters=[ID],
        request=ChannelBody,
        responses={200: ChannelSerializer, 400: _WRONG_CHANNEL, 403: _MAY_NOT, 404: _NO_CHANNEL},
        examples=[examples.sent(examples.NEW_CHANNEL), *examples.recorded("alert_channels_get")],
    )
    def put(self, request: Request, id: str) -> Response:
        """Replace an alert channel.

        What is left out gets its default value, except `secret`, which stays. The organisation of a channel does not
        change.
        """
        return self._changed(request, id, partial=False)

    @extend_schema(
        operation_id="alert_channels_delete",
        parameters=[ID],
        request=None,
        responses={204: NO_CONTENT, 403: _MAY_NOT, 404: _NO_CHANNEL},
    )
    def delete(self, request: Request, id: str) -> Response:
        """Delete an alert channel.

        Messages that wait for it are deleted too, and so are its deliveries. Rules that went to it alone go to all
        active channels of the organisation then.
        """
        with refusals_answered():
            editing.delete(self._channel(id), scope=self.scope)
        return Response(status=204)

    def _channel(self, id: str) -> AlertChannel:
        channel: AlertChannel = _found(editing.visible_channels(self.scope), id, _("There is no such channel."))
        return channel

    def _changed(self, request: Request, id: str, *, partial: bool) -> Response:
        channel = self._channel(id)
        given = _body(ChannelBody, request, self.scope, partial=partial)
        _same_org(given, channel, self.scope)
        with refusals_answered():
            new_secret = editing.save_channel(channel, scope=self.scope, values=given)
        return Response(ChannelSerializer(channel, context={"new_secret": new_secret}).data)


class ChannelTestView(ApiView):
    """Send a test to an alert channel.

    Sends a message now, once, and returns what came of it: one delivery for each address. Works for channels that are
    not active too.
    """

    tag = "Alerts"

    # It sets its scope itself: none is held while the channel's server works.
    @extend_schema(
        operation_id="alert_channels_test",
        parameters=[ID],
        request=None,
        responses={200: TestedSerializer, 404: _NO_CHANNEL},
        examples=[examples.answered(examples.TESTED)],
    )
    def post(self, request: Request, id: str) -> Response:
        with scoped(request.user) as scope:
            channel = _found(editing.visible_channels(scope), id, _("There is no such channel."))
        return Response(TestedSerializer({"deliveries": alerts.send_test(channel)}).data)


# ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────

_NO_RULE = refusal("There is no such rule, or the caller may not see it.", examples.NO_RULE)
_WRONG_RULE = refusal("A field is not valid; `details` names it.", examples.WRONG_BOUND)


class RuleListView(OfAlertsView):
    @extend_schema(
        operation_id="alert_rules_list",
        parameters=[OrgListSerializer],
        responses={200: RulesSerializer, 400: _WRONG_PAGE},
        examples=examples.recorded("alert_rules_list"),
    )
    def get(self, request: Request) -> Response:
        """List alert rules.

        Returns one page of the rules, by name. A superadmin sees all, an owner those of their organisations. A budget's
        own thresholds and its forecast are told without any rule.
        """
        given = listed(OrgListSerializer, request.query_params, self.scope)
        rows = editing.visible_rules(self.scope)
        count, items = page_of(rows.filter(org_id=given["org"]) if "org" in given else rows, given)
        return Response(RulesSerializer({"count": count, "items": items}).data)

    @extend_schema(
        operation_id="alert_rules_create",
        request=RuleBody,
        responses={201: RuleSerializer, 400: _WRONG_RULE, 403: _MAY_NOT},
        examples=[examples.sent(examples.NEW_RULE), *examples.recorded("alert_rules_get")],
    )
    def post(self, request: Request) -> Response:
        """Set up an alert rule.

        For owners within their organisations, and for superadmins, whose rules without an organisation watch the whole
        installation. An alert is told once, again as `renotify_hours` says, and once more when it is over.
        """
        given = _body(RuleBody, request, self.scope)
        with refusals_answered():
            rule = AlertRule(org=_new_org(given, self.scope))
            editing.save_rule(rule, scope=self.scope, **_values(given))
        return Response(RuleSerializer(rule).data, status=201)


class RuleView(OfAlertsView):
    @extend_schema(
        operation_id="alert_rules_get",
        parameters=[ID],
        responses={200: RuleSerializer, 404: _NO_RULE},
        examples=examples.recorded("alert_rules_get"),
    )
    def get(self, request: Request, id: str) -> Response:
        """Get one alert rule.

        Returns a rule that you may see: a superadmin any, an owner those of their organisations, a member none.
        """
        return Response(RuleSerializer(self._rule(id)).data)

    @extend_schema(
        operation_id="alert_rules_change",
        parameters=[ID],
        request=RuleBody(partial=True),
        responses={200: RuleSerializer, 400: _WRONG_RULE, 403: _MAY_NOT, 404: _NO_RULE},
        examples=[examples.sent({"bound": "10"}), *examples.recorded("alert_rules_get")],
    )
    def patch(self, request: Request, id: str) -> Response:
        """Change an alert rule.

        What is left out stays. `scope` and `channels` are replaced as a whole. The organisation of a rule does not
        change.
        """
        return self._changed(request, id, partial=True)

    @extend_schema(
        operation_id="alert_rules_replace",
        parameters=[ID],
        request=RuleBody,
        responses={200: RuleSerializer, 400: _WRONG_RULE, 403: _MAY_NOT, 404: _NO_RULE},
        examples=[examples.sent(examples.NEW_RULE), *examples.recorded("alert_rules_get")],
    )
    def put(self, request: Request, id: str) -> Response:
        """Replace an alert rule.

        What is left out gets its default value. An answer may be sent back. The organisation of a rule does not change.
        """
        return self._changed(request, id, partial=False)

    @extend_schema(
        operation_id="alert_rules_delete",
        parameters=[ID],
        request=None,
        responses={204: NO_CONTENT, 403: _MAY_NOT, 404: _NO_RULE},
    )
    def delete(self, request: Request, id: str) -> Response:
        """Delete an alert rule.

        Its alerts and their deliveries are deleted too. A rule that is only made inactive keeps them, and can be used
        again.
        """
        with refusals_answered():
            editing.delete(self._rule(id), scope=self.scope)
        return Response(status=204)

    def _rule(self, id: str) -> AlertRule:
        rule: AlertRule = _found(editing.visible_rules(self.scope), id, _("There is no such rule."))
        return rule

    def _changed(self, request: Request, id: str, *, partial: bool) -> Response:
        rule = self._rule(id)
        given = _body(RuleBody, request, self.scope, partial=partial)
        _same_org(given, rule, self.scope)
        with refusals_answered():
            editing.save_rule(rule, scope=self.scope, **_values(given))
        return Response(RuleSerializer(self._rule(id)).data)


def _values(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `save_rule` in validated data."""
    values = dict(given)
    channel_ids = values.pop("channels", None)
    if "budget" in values:
        values["budget_id"] = values.pop("budget")
    if "by" in values:
        values["by"] = BY.get(values["by"], "")
    return {"values": values, "channel_ids": channel_ids}


# ── Alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────


class FiringListView(OfAlertsView):
    @extend_schema(
        operation_id="alert_firings_list",
        parameters=[FiringListSerializer],
        responses={200: FiringsSerializer, 400: _WRONG_PAGE},
        examples=examples.recorded("alert_firings_list"),
    )
    def get(self, request: Request) -> Response:
        """List alerts.

        Returns one page of the alerts that are firing or were, newest first, each with the messages about it. A
        superadmin sees all, an owner those of their organisations. Alerts are kept for a year after their end.
        """
        given = listed(FiringListSerializer, request.query_params, self.scope)
        columns = {"org": "org_id", "rule": "rule_id", "budget": "budget_id", "state": "state"}
        narrowed = {column: given[name] for name, column in columns.items() if name in given}
        count, items = page_of(editing.visible_firings(self.scope).filter(**narrowed), given)
        return Response(FiringsSerializer({"count": count, "items": items}).data)


class FiringView(OfAlertsView):
    @extend_schema(
        operation_id="alert_firings_get",
        parameters=[ID],
        responses={
            200: FiringSerializer,
            404: refusal("There is no such alert, or the caller may not see it.", examples.NO_FIRING),
        },
        examples=examples.recorded("alert_firings_get"),
    )
    def get(self, request: Request, id: str) -> Response:
        """Get one alert.

        Returns an alert that you may see, with the messages about it: how often each was tried, and what went wrong.
        """
        found = _found(editing.visible_firings(self.scope), id, _("There is no such alert."))
        return Response(FiringSerializer(found).data)
