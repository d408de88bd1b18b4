"""Clients of the admin with different rights."""

from __future__ import annotations

from django.contrib.auth.models import Permission
from django.test import Client

from tests.support import factories
from usage_billing.models import Membership, Organization


def superadmin() -> Client:
    client = Client()
    client.force_login(factories.superadmin())
    return client


def staff(org: Organization, *permissions: str) -> Client:
    """An owner of the organisation who may use the admin with these permissions."""
    person = factories.user(is_staff=True)
    Membership.objects.create(org=org, user=person, role=Membership.Role.OWNER)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(person)
    return client
