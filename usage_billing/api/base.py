"""The base of the API's views.

Each rule stands here and not in the settings: `REST_FRAMEWORK` of the project that the app is installed in is for the
project's own API, and does not change this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.metadata import SimpleMetadata
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.schemas.inspectors import ViewInspector
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from usage_billing.api.envelope import EnvelopeRenderer
from usage_billing.api.errors import exception_handler
from usage_billing.api.negotiation import OneForm
from usage_billing.api.parsers import BoundedJSONParser
from usage_billing.api.schema import ApiSchema
from usage_billing.auth.request_throttling import AnonymousRate, TokenRate, UserRate
from usage_billing.auth.service_tokens import Program, ServiceTokenAuthentication
from usage_billing.auth.tokens import TokenAuthentication
from usage_billing.tenancy.scope import NOTHING, Scope, scoped


class TokenMayAsk(BasePermission):
    """Lets the bearer of a service token in where the view names a scope of its tokens; people everywhere."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.user, Program):
            return True
        needed = view.token_scopes_to_read if request.method in SAFE_METHODS else view.token_scopes_to_write
        if any(map(request.user.may, needed)):
            return True
        if needed:
            self.message = gettext("This needs a service token with the scope %(names)s.") % {
                "names": " / ".join(needed)
            }
        else:
            self.message = gettext("This address is for people: log in, a service token does not open it.")
        return False


@method_decorator(never_cache, "dispatch")
class ApiView(APIView):
    """For people who are logged in, by token or by session; enveloped JSON in both directions."""

    outside_scope = True  # of the session's user, which `ScopeMiddleware` would take: a token may be another's

    authentication_classes: Sequence[type[BaseAuthentication]] = (
        ServiceTokenAuthentication,
        TokenAuthentication,
        SessionAuthentication,
    )
    permission_classes: Sequence[type[BasePermission]] = (IsAuthenticated, TokenMayAsk)
    token_scopes_to_read: ClassVar[tuple[str, ...]] = ()
    """Scopes of service tokens, any of which lets a program read here (GET, HEAD, OPTIONS)."""
    token_scopes_to_write: ClassVar[tuple[str, ...]] = ()
    throttle_classes: Sequence[type[BaseThrottle]] = (UserRate, TokenRate, AnonymousRate)
    renderer_classes: Sequence[type[BaseRenderer]] = (EnvelopeRenderer,)
    parser_classes = (BoundedJSONParser,)
    content_negotiation_class = OneForm
    metadata_class = SimpleMetadata
    versioning_class = None
    schema: ViewInspector | None = ApiSchema()
    tag: ClassVar[str]
    """The group of the view's operations in the schema."""

    def get_exception_handler(self) -> Any:
        return exception_handler


class ScopedView(ApiView):
    """Answers within the scope of the caller, `self.scope`, which begins once the caller is known and let in."""

    scope: Scope = NOTHING

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as self._until_answered:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.scope = self._until_answered.enter_context(scoped(request.user))
