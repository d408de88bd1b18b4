"""Who asks: a person or a program, by name, and whether their credentials still hold during a long answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django.contrib.auth import get_user, get_user_model
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException

from usage_billing.auth.service_tokens import Program, ServiceTokenAuthentication
from usage_billing.auth.tokens import TokenAuthentication


def ident(user: Any) -> str:
    """Return what tells this person or program from every other, for limits and logs."""
    return f"token-{user.token_id}" if isinstance(user, Program) else str(user.pk)


def user_now(request: Any) -> Any:
    """Return the user of the request as they are now; None if the same credentials would be refused now.

    `request`: DRF's. A person's token that has expired meanwhile still counts: it was valid when the answer began. A
    service token does not: people set its end.
    """
    authenticator = request.successful_authenticator
    if isinstance(authenticator, ServiceTokenAuthentication):
        try:
            program, _ = authenticator.authenticate(request) or (None, None)
        except APIException:
            return None
        return program
    if isinstance(authenticator, TokenAuthentication):
        try:
            return authenticator.get_user(request.auth)
        except APIException:  # deactivated, deleted, another password, the session ended
            return None
    if isinstance(authenticator, SessionAuthentication):
        # `request.session` holds the session as it was when the request began.
        session = type(request.session)(request.session.session_key)
        user: Any = get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]
        return user if user.is_authenticated and user.is_active else None
    return get_user_model()._default_manager.filter(pk=request.user.pk, is_active=True).first()
