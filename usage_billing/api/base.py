"""What the API's views share: the scope of the caller."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.request import Request
from rest_framework.views import APIView

from usage_billing.tenancy.scope import NOTHING, Scope, scoped


class ScopedView(APIView):
    """Answers within the scope of the caller, `self.scope`; it is taken once the caller is known and let in."""

    outside_scope = True  # of the session's user, which `ScopeMiddleware` would take: a token may be another's
    scope: Scope = NOTHING

    @method_decorator(never_cache)
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as self._until_answered:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.scope = self._until_answered.enter_context(scoped(request.user))

    def leave_scope(self) -> None:
        """End it before the answer is made: the rest takes long."""
        self._until_answered.close()
