"""Provider keys that the proxy calls with: saved by owners and superadmins, never shown again."""

from __future__ import annotations

import logging
import threading
import time

from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from usage_billing.auth.service_tokens import BEGINNING, check_may_change
from usage_billing.models import Organization, ProviderKey
from usage_billing.models.database import atomic
from usage_billing.tenancy.scope import EVERYTHING, Scope, within

logger = logging.getLogger(__name__)

RECHECK_S = 5.0
"""For how long a key that was read holds in this process: a key that was replaced is used for so long."""
AWAY_S = 3600.0
"""For how long the last known key is used while the database does not answer."""
AWAY_RECHECK_S = 5.0
"""A database that does not answer is asked again after that: each attempt may take as long as its time-out."""
LONGEST = 500
ADMIN_KEYS = ("sk-admin-", "sk-ant-admin")
SHOWN_FROM = 16
"""A shorter key has no hint: its last four characters would be too much of it."""


def save(*, scope: Scope, by: str, org: Organization | None, provider: str, secret: str) -> ProviderKey:
    """Save the key of an organisation, or replace it; without an organisation, that of all which have none.

    scope: of the person who saves it. by: their name. Raises `ValidationError` by field, and `NotAllowedError`.
    """
    check_may_change(scope, None if org is None else org.pk)
    secret = secret.strip()
    _check(provider, secret)
    values = {
        "secret": secret,
        "hint": secret[-4:] if len(secret) >= SHOWN_FROM else "",
        "by": by[:150],
        "saved_at": timezone.now(),
    }
    with atomic():
        key, _ = ProviderKey.objects.update_or_create(org=org, provider=provider, defaults=values)
    forget()
    return key


def remove(key: ProviderKey, *, scope: Scope) -> None:
    """Delete a key. A second time changes nothing. Raises `NotAllowedError`."""
    check_may_change(scope, key.org_id)
    ProviderKey.objects.filter(pk=key.pk).delete()
    forget()


def visible(scope: Scope) -> QuerySet[ProviderKey]:
    """The keys that a person may replace and remove: superadmins all, owners those of their organisations."""
    rows = ProviderKey.objects.select_related("org").defer("secret")
    return rows if scope.everything else rows.filter(org_id__in=scope.owned_org_ids)


def _check(provider: str, secret: str) -> None:
    errors: dict[str, str] = {}
    if provider not in ProviderKey.Provider.values:
        names = ", ".join(ProviderKey.Provider.values)
        errors["provider"] = gettext("There is no such provider. Choose one of these: %(names)s.") % {"names": names}
    if not secret:
        errors["secret"] = gettext("Paste the provider's key.")
    elif len(secret) > LONGEST or not (secret.isascii() and secret.isprintable()) or " " in secret:
        errors["secret"] = gettext("This is no key of a provider: a key is one word of letters, digits and signs.")
    elif secret.startswith(ADMIN_KEYS):
        errors["secret"] = gettext("This is an admin key, which opens the whole account. Paste an API key.")
    elif secret.startswith(BEGINNING):
        errors["secret"] = gettext("This is a service token of AI Costs. Paste the key that the provider gave you.")
    if errors:
        raise ValidationError(errors)


# ── Using ────────────────────────────────────────────────────────────────────────────────────────────────────────

_known: dict[tuple[int | None, str], tuple[float, float, str | None]] = {}
"""(Organisation, provider) → when the key was read, when it will be again (monotonic seconds), and the key, or None."""
_lock = threading.Lock()


def secret_for(org_id: int | None, provider: str) -> str | None:
    """Return the key to call a provider with: the organisation's, else that of all organisations; None without one.

    While the database is away, the last known key holds for `AWAY_S`. Raises `DatabaseError` without one, and
    `DecryptionError` for a key that was encrypted with a key that is gone.
    """
    asked, now = (org_id, provider), time.monotonic()
    with _lock:
        read_at, again_at, secret = _known.get(asked, (-AWAY_S, -AWAY_S, None))
    if now >= again_at:
        try:
            secret = _read(org_id, provider)
            read_at, again_at = now, now + RECHECK_S
        except DatabaseError:
            if now - read_at >= AWAY_S:
                raise
            logger.warning("The database does not answer: the last known key of %s is used.", provider)
            again_at = min(time.monotonic() + AWAY_RECHECK_S, read_at + AWAY_S)
        with _lock:
            _known[asked] = (read_at, again_at, secret)
    return secret


def forget() -> None:
    """Read every key again."""
    with _lock:
        _known.clear()


def _read(org_id: int | None, provider: str) -> str | None:
    with within(EVERYTHING):
        rows = ProviderKey.objects.filter(Q(org_id=org_id) | Q(org_id=None), provider=provider)
        found = {key.org_id: key for key in rows}
    key = found.get(org_id) or found.get(None)
    return None if key is None else key.secret
