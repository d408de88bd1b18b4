"""The page of service tokens: the tokens, their history, and the provider keys of the proxy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext

from usage_billing.auth import provider_keys, service_tokens
from usage_billing.models import ProviderKey, ServiceToken, ServiceTokenChange
from usage_billing.pages import shell
from usage_billing.pages.budgets import may_set, org_of
from usage_billing.pages.names import of_organizations
from usage_billing.pages.page import TOKENS, address
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scope_of_request

MOST = 200
"""Rows of each list."""
CHANGES = 50


@dataclass(frozen=True)
class TokenEntry:
    """state: as `service_tokens.state_of`. is_rotated: it goes on working until the overlap ends."""

    token: ServiceToken
    org: str
    scopes: str
    models: str
    state: str
    is_rotated: bool
    link: str


@dataclass(frozen=True)
class KeyEntry:
    key: ProviderKey
    org: str
    link: str
    replace_link: str


@dataclass(frozen=True)
class ChangeEntry:
    change: ServiceTokenChange
    org: str


def answer(request: HttpRequest) -> HttpResponse:
    scope = scope_of_request(request)
    if not may_set(scope):
        return refused(request)
    return render(request, "usage_billing/tokens.html", context(scope, request.GET.get("org", ""), timezone.now()))


def refused(request: HttpRequest) -> HttpResponse:
    """The answer to members."""
    text = gettext("Service tokens and provider keys are for the owners of the organisation. Ask one of them.")
    return shell.forbidden(request, text)


def context(scope: Scope, org: str, now: datetime) -> dict[str, Any]:
    """The context of the template. Five queries, whatever there is."""
    base = address(TOKENS, for_superadmin=scope.everything)
    org_id = org_of(scope, org)
    tokens = [*_of(service_tokens.visible(scope).prefetch_related("changes"), org_id)[:MOST]]
    entries = [_token(each, base, now) for each in tokens]
    keys = [*_of(provider_keys.visible(scope), org_id)[:MOST]]
    changes = [*_of(service_tokens.visible_changes(scope), org_id)[:CHANGES]]
    has_choice = scope.everything or len(scope.owned_org_ids) > 1
    query = "" if org_id is None else f"?org={org_id}"
    return {
        "title": gettext("Service tokens"),
        "link": base,
        "org_id": org_id,
        "orgs_to_choose": of_organizations(scope, None if scope.everything else scope.owned_org_ids)
        if has_choice
        else {},
        "several_orgs": has_choice and org_id is None,
        "tokens": [each for each in entries if each.state == "active"],
        "ended": [each for each in entries if each.state != "active"],
        "keys": [KeyEntry(each, org_name(each), f"{base}/keys/{each.pk}", _replace(each, base)) for each in keys],
        "changes": [ChangeEntry(each, org_name(each)) for each in changes],
        "new_link": f"{base}/new{query}",
        "new_key_link": f"{base}/keys/new{query}",
    }


def _of(rows: QuerySet[Any], org_id: int | None) -> QuerySet[Any]:
    return rows if org_id is None else rows.filter(org_id=org_id)


def org_name(row: ServiceToken | ProviderKey | ServiceTokenChange) -> str:
    return gettext("all organisations") if row.org is None else row.org.name


def scopes_in_words(scopes: Iterable[str]) -> str:
    labels = dict(ServiceToken.Scope.choices)
    return ", ".join(str(labels.get(each, each)) for each in scopes)


def _token(token: ServiceToken, base: str, now: datetime) -> TokenEntry:
    kinds = {change.kind for change in token.changes.all()}
    return TokenEntry(
        token,
        org_name(token),
        scopes_in_words(token.scopes),
        ", ".join(token.allowed_models),
        service_tokens.state_of(token, now),
        ServiceTokenChange.Kind.ROTATED in kinds,
        f"{base}/{token.pk}",
    )


def _replace(key: ProviderKey, base: str) -> str:
    return f"{base}/keys/new?provider={key.provider}&org={'all' if key.org_id is None else key.org_id}"
