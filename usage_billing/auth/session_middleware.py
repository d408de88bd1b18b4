"""Django's session middleware, which also records the address and the time of each session's last use."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from usage_billing.auth.login_throttling import remember_device
from usage_billing.auth.session_store import SessionStore
from usage_billing.auth.sessions import note_use

NOTED_EVERY = timedelta(minutes=5)
"""A session in use costs one more statement per interval, not per request."""


class SessionMiddleware(DjangoSessionMiddleware):
    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response = super().process_response(request, response)
        store = request.session
        if isinstance(store, SessionStore) and store.accessed and store.row_key and SESSION_KEY in store:
            is_new = store.row is None or store.row.pk != store.row_key
            if is_new or (store.row and store.row.last_seen_at < timezone.now() - NOTED_EVERY):
                note_use(request, store.row_key)
        remember_device(request, response)
        return response
