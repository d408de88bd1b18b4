"""The rules of saved views that the database keeps."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from tests.support import factories
from usage_billing.models import SavedView

pytestmark = pytest.mark.django_db


def refused(**fields: Any) -> bool:
    """Whether the database refuses the row."""
    try:
        with transaction.atomic():
            SavedView.objects.create(**{"name": "One", "page": "explore", **fields})
    except IntegrityError:
        return True
    return False


def test_names_and_start_pages_are_unique_for_each_user() -> None:
    org, other, user = factories.organization(), factories.organization(), factories.user()
    assert not refused(org=org, user=user, is_start=True)
    assert refused(org=org, user=user)
    assert refused(org=org, user=user, name="Two", is_start=True)
    assert not refused(org=other, user=user)
    assert not refused(org=org, user=factories.user())


def test_they_are_unique_without_an_organisation_as_well() -> None:
    user = factories.superadmin()
    assert not refused(user=user, is_start=True)
    assert refused(user=user)
    assert refused(user=user, name="Two", is_start=True)
    assert not refused(user=factories.superadmin())


def test_a_view_has_a_name_and_one_of_the_pages() -> None:
    user = factories.user()
    assert refused(user=user, name="")
    assert refused(user=user, page="admin")


def test_only_a_shared_view_has_no_user() -> None:
    org = factories.organization()
    assert refused(org=org)
    assert refused(org=org, is_shared=True, is_start=True)
    assert not refused(org=org, is_shared=True)
