"""Whether the credentials that a request came with still hold, for answers that take long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.contrib.auth import get_user, get_user_model
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException

from usage_billing.auth.tokens import TokenAuthentication


def user_now(request: Any) -> Any:
    """The user of the request as they are now; None if a request with the same credentials would be refused.

    `request`: DRF's. A token that merely expired meanwhile was good when the answer began, and is here.
    """
    authenticator = request.successful_authenticator
    if isinstance(authenticator, TokenAuthentication):
        try:
            return authenticator.get_user(request.auth)
        except APIException:  # deactivated, deleted, another password, the session ended
            return None
    if isinstance(authenticator, SessionAuthentication):
        # Read anew: the request's own session is that of its beginning.
        session = type(request.session)(request.session.session_key)
        user: Any = get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]
        return user if user.is_authenticated and user.is_active else None
    return get_user_model()._default_manager.filter(pk=request.user.pk, is_active=True).first()
