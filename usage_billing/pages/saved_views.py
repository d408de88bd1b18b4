"""Saved views: who may open and change which, and the actions on them."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext

from usage_billing.models import SavedView
from usage_billing.models.database import atomic
from usage_billing.models.saved_view import LONGEST_QUERY, VIEWS_PER_USER
from usage_billing.pages.page import address
from usage_billing.pages.parameters import Pairs, query_of
from usage_billing.tenancy.scope import Scope

OF_A_MOMENT = ("format", "table", "numbers", "filters", "cursor")
"""Parameters that a view does not keep: of a file, of an open form or table, of a position in a list."""


def visible(scope: Scope) -> QuerySet[SavedView]:
    """The views that a person may open. To a superadmin: their own, and those that superadmins share."""
    own = Q(user_id=scope.user_id)
    if scope.everything:
        return SavedView.objects.filter(own | Q(org__isnull=True, is_shared=True))
    return SavedView.objects.filter(own | Q(is_shared=True), org_id__in=scope.org_ids)


def changeable(scope: Scope) -> QuerySet[SavedView]:
    """The views that a person may rename, share and delete: their own."""
    return visible(scope).filter(user_id=scope.user_id)


def deletable(scope: Scope) -> QuerySet[SavedView]:
    """Their own, and what others have shared with an organisation that they own, or with all superadmins."""
    shared = Q(is_shared=True) if scope.everything else Q(is_shared=True, org_id__in=scope.owned_org_ids)
    return visible(scope).filter(Q(user_id=scope.user_id) | shared)


def start_of(scope: Scope) -> SavedView | None:
    """The view that the person lands on. One query."""
    return changeable(scope).filter(is_start=True).first() if scope.user_id is not None else None


def link_of(view: SavedView, *, for_superadmin: bool) -> str:
    """The address of the page that the view keeps.

    A superadmin sees the view of an organisation narrowed to it, unless it names organisations itself.
    """
    query = view.query
    if for_superadmin and view.org_id is not None and not _names_org(query):
        query = "&".join(part for part in (query, f"org={view.org_id}") if part)
    return address(view.page, for_superadmin=for_superadmin) + (f"?{query}" if query else "")


def _names_org(query: str) -> bool:
    return any(part.partition("=")[0] == "org" for part in query.split("&"))


def views_address(*, for_superadmin: bool) -> str:
    """The address of the list of views."""
    return reverse("usage_billing:ai-costs-views" if for_superadmin else "usage_billing:usage-views")


def query_to_save(pairs: Pairs) -> str:
    """The query of a view of a page with these parameters. A number of days stays a number of days."""
    return query_of(pairs, dict.fromkeys(OF_A_MOMENT))


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

PRIVATE, SUPERADMINS = "", "superadmins"
"""Whom a view is shared with, besides the id of an organisation."""


def save(*, scope: Scope, name: str, page: str, query: str, share: str, is_start: bool) -> SavedView:
    """Save a view. share: `PRIVATE`, `SUPERADMINS`, or an organisation's id, all checked by the caller.

    Raises `ValidationError` whose messages tell what to do.
    """
    if SavedView.objects.filter(user_id=scope.user_id).count() >= VIEWS_PER_USER:
        text = gettext("You have %(most)d saved views. Delete one that you no longer need, then save this one.")
        raise ValidationError(text % {"most": VIEWS_PER_USER})
    if share not in (PRIVATE, SUPERADMINS) and not _names_org(query) and len(scope.org_ids) != 1:
        # Everybody who opens it sees the same calls, whatever else they may see.
        query = "&".join(part for part in (query, f"org={share}") if part)
    if len(query) > LONGEST_QUERY:
        raise ValidationError(gettext("This page has too many filters to be saved. Remove some of them."))
    return change(
        SavedView(user_id=scope.user_id, page=page, query=query), scope=scope, name=name, share=share, is_start=is_start
    )


def change(view: SavedView, *, scope: Scope, name: str, share: str, is_start: bool) -> SavedView:
    """Rename a view, share it or not, make it the start page or not. Raises `ValidationError`.

    The start page that the user had before is none any more.
    """
    view.name, view.is_shared, view.is_start = name, share != PRIVATE, False
    view.org_id = int(share) if share not in (PRIVATE, SUPERADMINS) else _org_of_private_views(scope)
    view.full_clean()
    try:
        with atomic():
            if is_start:
                SavedView.objects.filter(user_id=scope.user_id, is_start=True).update(is_start=False)
            view.is_start = is_start
            view.save()
    except IntegrityError as error:
        # Another request of the same user was quicker.
        raise ValidationError(gettext("You have a view of this name already.")) from error
    return view


def _org_of_private_views(scope: Scope) -> int | None:
    """None for a superadmin, and for views that superadmins share; else the first of the person's organisations."""
    return None if scope.everything else min(scope.org_ids)
