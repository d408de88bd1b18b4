"""The Content-Security-Policy of each kind of page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import unfold
from django.test import Client

from tests.support import factories


def policy(client: Client, address: str) -> dict[str, set[str]]:
    header = client.get(address).headers["Content-Security-Policy"]
    return {name: set(sources) for name, *sources in (each.split() for each in header.split(";") if each.strip())}


@pytest.mark.django_db
def test_no_page_allows_inline_scripts(client: Client) -> None:
    client.force_login(factories.superadmin())
    for address in (
        *("/superadmin/", "/superadmin/ai-costs", "/superadmin/usage_billing/organization/add/", "/superadmin/login/"),
        *("/usage/", "/login/", "/api/docs", "/api/schema", "/healthz", "/no/such/page"),
    ):
        rules = policy(client, address)
        scripts = rules.get("script-src", rules["default-src"])
        # A host, a scheme or `'unsafe-inline'` would allow a script that an attacker has injected.
        assert scripts - {"'unsafe-eval'"} == {"'self'"}, address
        is_themed = address.startswith("/superadmin/") and not {"ai-costs", "login"} & {*address.split("/")}
        assert ("'unsafe-eval'" in scripts) is is_themed, address
        assert (rules["object-src"], rules["base-uri"]) == ({"'none'"}, {"'none'"})


def test_the_theme_has_no_inline_script_or_handler() -> None:
    """Fails if an upgrade of the theme adds one, which the policy would block."""
    root = Path(unfold.__file__).parent / "templates"
    inline = re.compile(r"<script(?![^>]*(?:\bsrc=|application/json))|\son[a-z]+=\"|javascript:", re.DOTALL)
    found = {str(path.relative_to(root)) for path in root.rglob("*.html") if inline.search(path.read_text())}
    # This template is for crispy forms, which are not installed.
    assert found == {"unfold_crispy/layout/table_inline_formset.html"}
