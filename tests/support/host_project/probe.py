"""Runs in a process of the host project, and prints its findings as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import django


def main() -> None:
    django.setup()
    from django.contrib import admin
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    from tests.support import rows
    from usage_billing.admin.read_only import ReadOnlyAdmin
    from usage_billing.models import ExchangeRate, Membership, Organization, PriceOverride

    call_command("check", "--fail-level=WARNING", stdout=sys.stderr)
    call_command("migrate", verbosity=0)
    client = Client(headers={"accept": "text/html"})
    client.force_login(User.objects.create_superuser("boss", password="secret"))
    org = Organization.objects.create(name="Acme", slug="acme", timezone="Europe/Moscow")
    Membership.objects.create(org=org, user=User.objects.get(), role="owner")
    rows.enter(rows.row(org, created_at=timezone.now()))
    PriceOverride.objects.create(
        provider="openai", model_pattern="*", valid_from=timezone.now().date(), prices={"input_mtok": "1"}
    )
    ExchangeRate.objects.get_or_create(date=timezone.now().date(), defaults={"usd_rub": 80})

    def answer(address: str, client: Client = client) -> list[Any]:
        got = client.get(address)
        body = b"".join(got) if got.streaming else got.content
        kind = got.headers["Content-Type"].partition(";")[0]
        return [got.status_code, json.loads(body) if kind == "application/json" else body.decode()]

    registered = {model.__name__: type(of).__module__ for model, of in admin.site._registry.items()}
    pages: dict[str, int] = {}
    for model, of in admin.site._registry.items():
        folder = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        first = model._default_manager.first()
        addresses = [
            folder,
            *([] if isinstance(of, ReadOnlyAdmin) or model.__name__ == "RepriceRun" else [f"{folder}add/"]),
        ]
        if first is not None:
            addresses += [f"{folder}{first.pk}/{page}/" for page in ("change", "history")]
        pages |= {address: client.get(address).status_code for address in addresses}
    today = timezone.localdate()
    reports = "/api/billing/usage/tokens/"
    found = {
        "registered": registered,
        "groups": Group.__name__ in registered,
        "pages": pages,
        "imported": [name for name in ("axes", "csp", "unfold", "drf_spectacular_sidecar") if name in sys.modules],
        "answers": {
            name: answer(f"{reports}{name}")
            for name in (
                "summary",
                "history?days=1",
                "by-agent",
                "by-user",
                "by-org",
                "detailed",
                "detailed/1",
                f"detailed?from={today}&to={today}",
                "summary?days=x",
                "detailed/999",
                "export",
            )
        },
        "anonymous": [answer(f"{reports}summary", Client()) for _ in range(2)],
        "host": [answer(address) for address in ("/api/token", "/api/billing/invoices")],
        "host_view": answer("/api/own"),
        "names": [reverse("usage_billing:api-summary"), reverse("usage_billing:api-call", args=[1])],
    }
    print(json.dumps(found))  # noqa: T201  # the test reads it


if __name__ == "__main__":
    main()
