"""The pages that make, rotate and revoke service tokens, and save and remove provider keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext

from usage_billing.auth import provider_keys, service_tokens
from usage_billing.conf import conf
from usage_billing.models import Organization, ServiceToken
from usage_billing.models.fields import LARGEST_ID
from usage_billing.pages import shell
from usage_billing.pages.budget_pages import orgs_of_owner, saved
from usage_billing.pages.page import TOKENS, address
from usage_billing.pages.service_token_forms import KeyForm, RotateForm, TokenForm, with_all
from usage_billing.pages.service_tokens import org_name, refused, scopes_in_words
from usage_billing.tenancy.scope import Scope
from usage_billing.tenancy.views import scope_of_request

# ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────


def new(request: HttpRequest) -> HttpResponseBase:
    """Make a token. The answer to the form shows it, this once: a session would keep it in the database."""
    scope = scope_of_request(request)
    orgs = _orgs(scope)
    if not orgs:
        return refused(request)
    form = TokenForm(request.POST or None, initial={"org": request.GET.get("org", "")}, orgs=orgs)
    if request.method == "POST" and form.is_valid():
        made = saved(
            form,
            lambda: service_tokens.create(scope=scope, by=_name(request), org=_org(form.org_id), **form.values),
        )
        if made:
            return _made(request, *made)
    context = {"title": gettext("New service token"), "form": form, "back": _base(scope)}
    return render(request, "usage_billing/token_form.html", context)


def rotate(request: HttpRequest, id: int) -> HttpResponseBase:
    scope = scope_of_request(request)
    token = _found(service_tokens.visible(scope), id)
    if token is None:
        return _not_there(request)
    form = RotateForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        overlap = timedelta(hours=form.cleaned_data["overlap"])
        made = saved(form, lambda: service_tokens.rotate(token, scope=scope, by=_name(request), overlap=overlap))
        if made:
            return _made(request, *made)
    context = {
        "title": gettext("Rotate the token “%(name)s”") % {"name": token.name},
        "form": form,
        "token": token,
        "org": org_name(token),
        "back": _base(scope),
    }
    return render(request, "usage_billing/token_rotate.html", context)


def revoke(request: HttpRequest, id: int) -> HttpResponseBase:
    """Ask once more, then revoke."""
    scope = scope_of_request(request)
    token = _found(service_tokens.visible(scope), id)
    if token is None:
        return _not_there(request)
    if request.method == "POST":
        service_tokens.revoke(token, scope=scope, by=_name(request))
        messages.success(request, gettext("The token “%(name)s” is revoked.") % {"name": token.name})
        return redirect(_base(scope))
    context = {
        "title": gettext("Revoke the token “%(name)s” (%(prefix)s…)?") % {"name": token.name, "prefix": token.prefix},
        "text": gettext("Programs that use it are refused within a second. This cannot be undone."),
        "submit": gettext("Revoke"),
        "back": _base(scope),
    }
    return render(request, "usage_billing/confirm.html", context)


def _made(request: HttpRequest, token: ServiceToken, text: str) -> HttpResponse:
    base = (conf.PUBLIC_URL or request.build_absolute_uri("/")).rstrip("/")
    context = {
        "title": gettext("The token “%(name)s”") % {"name": token.name},
        "token": token,
        "text": text,
        "org": org_name(token),
        "scopes": scopes_in_words(token.scopes),
        "examples": _examples(token, text, base),
        "back": _base(scope_of_request(request)),
    }
    return render(request, "usage_billing/token_made.html", context)


def _examples(token: ServiceToken, text: str, base: str) -> list[tuple[str, str]]:
    """What to do with the token, for each of its scopes: title and lines for a shell."""
    may = ServiceToken.Scope
    shown = {
        may.INGEST: (
            gettext("Send usage in by OpenTelemetry"),
            f"export OTEL_EXPORTER_OTLP_ENDPOINT={base}\n"
            "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
            f"export OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20{text}",
        ),
        may.PROXY: (
            gettext("Call providers by the proxy"),
            f"export OPENAI_BASE_URL={base}/proxy/openai/v1\nexport OPENAI_API_KEY={text}\n"
            f"export ANTHROPIC_BASE_URL={base}/proxy/anthropic\nexport ANTHROPIC_API_KEY={text}",
        ),
        may.READ: (
            gettext("Read reports"),
            f'curl -H "Authorization: Bearer {text}" {base}/api/billing/usage/tokens/summary',
        ),
        may.BUDGETS: (gettext("Read budgets"), f'curl -H "Authorization: Bearer {text}" {base}/api/billing/budgets'),
    }
    return [example for scope, example in shown.items() if scope in token.scopes]


# ── Provider keys ────────────────────────────────────────────────────────────────────────────────────────────────


def new_key(request: HttpRequest) -> HttpResponseBase:
    scope = scope_of_request(request)
    orgs = _orgs(scope)
    if not orgs:
        return refused(request)
    initial = {name: request.GET.get(name, "") for name in ("org", "provider")}
    form = KeyForm(request.POST or None, initial=initial, orgs=orgs)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        key = saved(
            form,
            lambda: provider_keys.save(
                scope=scope,
                by=_name(request),
                org=_org(form.org_id),
                provider=given["provider"],
                secret=given["secret"],
            ),
        )
        if key:
            text = gettext("The key of %(provider)s is saved. The proxy uses it within five seconds.")
            messages.success(request, text % {"provider": key.get_provider_display()})
            return redirect(_base(scope))
    context = {"title": gettext("Provider key"), "form": form, "back": _base(scope)}
    return render(request, "usage_billing/provider_key_form.html", context)


def remove_key(request: HttpRequest, id: int) -> HttpResponseBase:
    """Ask once more, then remove."""
    scope = scope_of_request(request)
    key = _found(provider_keys.visible(scope), id)
    if key is None:
        return shell.not_found(request, gettext("There is no such provider key, or you may not see it."))
    provider = key.get_provider_display()
    if request.method == "POST":
        provider_keys.remove(key, scope=scope)
        messages.success(request, gettext("The key of %(provider)s is removed.") % {"provider": provider})
        return redirect(_base(scope))
    if key.org_id is None:
        text = gettext("The proxy then refuses calls of organisations that have no key of their own.")
    else:
        text = gettext("The proxy then uses the key of all organisations, if there is one, and else refuses calls.")
    context = {
        "title": gettext("Remove the key of %(provider)s for %(org)s?") % {"provider": provider, "org": org_name(key)},
        "text": text,
        "submit": gettext("Remove"),
        "back": _base(scope),
    }
    return render(request, "usage_billing/confirm.html", context)


def _orgs(scope: Scope) -> dict[str, str]:
    """The open organisations that the person may set up tokens for; to superadmins all together as well."""
    return with_all(orgs_of_owner(scope), for_superadmin=scope.everything)


def _org(org_id: int | None) -> Organization | None:
    """The organisation that the form offered. Raises `ValidationError` if it is gone meanwhile."""
    if org_id is None:
        return None
    found = Organization.objects.filter(pk=org_id).first()
    if found is None:
        raise ValidationError({"org": gettext("There is no such organisation any more.")})
    return found


def _found(rows: Any, id: int) -> Any:
    return rows.filter(pk=id).first() if id <= LARGEST_ID else None


def _not_there(request: HttpRequest) -> HttpResponse:
    return shell.not_found(request, gettext("There is no such service token, or you may not see it."))


def _base(scope: Scope) -> str:
    return address(TOKENS, for_superadmin=scope.everything)


def _name(request: HttpRequest) -> str:
    return str(request.user.get_username())
