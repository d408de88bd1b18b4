"""Who is told of an alert: channels, and people where no channel is set up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model

from usage_billing.models import AlertChannel, AlertRule, Membership


class Recipient(NamedTuple):
    """channel: None for a person who is told because there is no channel. address: of an e-mail; else empty."""

    channel: AlertChannel | None
    address: str


def recipients(org_id: int | None, rule: AlertRule | None = None) -> list[Recipient]:
    """The rule's channels, else all of the organisation's, else its owners by e-mail; each address once.

    Without an organisation: the channels of superadmins, else the superadmins. The scope must be entered.
    """
    channels = AlertChannel.objects.filter(is_active=True)
    own = list(channels.filter(rules=rule)) if rule is not None else []
    found = own or list(channels.filter(org=org_id))
    if not found:
        return [Recipient(None, address) for address in _once(person.email for person in _people(org_id))]
    return list(_of_channels(found))


def of_channel(channel: AlertChannel) -> list[Recipient]:
    """One for each address of an e-mail channel, so that each is tried and logged by itself."""
    if channel.kind != AlertChannel.Kind.EMAIL:
        return [Recipient(channel, "")]
    return [Recipient(channel, address) for address in _once(channel.target.split(","))]


def _of_channels(channels: Iterable[AlertChannel]) -> Iterator[Recipient]:
    seen: set[str] = set()
    for recipient in (each for channel in channels for each in of_channel(channel)):
        if not recipient.address or recipient.address.casefold() not in seen:
            seen.add(recipient.address.casefold())
            yield recipient


def _people(org_id: int | None) -> Iterable[Any]:
    """The organisation's owners, or the superadmins."""
    users = get_user_model()._default_manager.filter(is_active=True).order_by("pk")
    if org_id is None:
        return users.filter(is_superuser=True)
    owners = Membership.objects.filter(org=org_id, role=Membership.Role.OWNER)
    # Two statements: the users may be in another database.
    return users.filter(pk__in=list(owners.values_list("user_id", flat=True)))


def _once(addresses: Iterable[str]) -> Iterator[str]:
    found = {address.strip().casefold(): address.strip() for address in addresses}
    yield from (address for address in found.values() if address)
