"""The store of browser sessions (`SESSION_ENGINE` of the service): Django's own, over a table with the user.

The database holds the SHA-256 of each key. A key has 165 random bits, so it needs no salt and no slow hash.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.utils import timezone

from usage_billing.models import Session, ThrottleCount


def hashed(kind: str, key: str) -> str:
    """Hash a session's key for the database. A key of one kind opens no session of the other."""
    return sha256(f"{kind}:{key}".encode()).hexdigest()


class SessionStore(DatabaseSessionStore):
    """Takes keys as in the cookie, and hashes them."""

    row: Session | None = None
    """The row as it was loaded."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    @property
    def row_key(self) -> str | None:
        """The primary key of the session's row."""
        return None if self.session_key is None else hashed(Session.Kind.BROWSER, self.session_key)

    def exists(self, session_key: str) -> bool:
        return Session.objects.filter(pk=hashed(Session.Kind.BROWSER, session_key)).exists()

    def load(self) -> dict[str, Any]:
        self.row = Session.objects.filter(pk=self.row_key, expire_date__gt=timezone.now()).first()
        if self.row is None:
            # An unknown key is never adopted: somebody may have planted it.
            self._session_key = None
            return {}
        return self.decode(self.row.session_data)

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        made: Any = super().create_model_instance(data)
        made.session_key = hashed(Session.Kind.BROWSER, made.session_key)
        made.user_id = data.get(SESSION_KEY)
        return made  # type: ignore[no-any-return]

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            Session.objects.filter(pk=hashed(Session.Kind.BROWSER, key)).delete()

    @classmethod
    def clear_expired(cls) -> None:
        """Delete the expired counts of `auth.limits` as well: `clearsessions` runs daily."""
        super().clear_expired()
        ThrottleCount.objects.filter(expires_at__lt=timezone.now()).delete()

    # Django's database store implements the async methods without calling the ones above.
    aexists = SessionBase.aexists
    aload = SessionBase.aload
    asave = SessionBase.asave
    adelete = SessionBase.adelete
