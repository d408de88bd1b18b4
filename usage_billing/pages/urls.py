"""Addresses of the app's own pages."""

from django.urls import path

from usage_billing.pages import call, views
from usage_billing.pages.page import OVERVIEW, PAGES

urlpatterns = []
for page in PAGES:
    below, suffix = ("", "") if page == OVERVIEW else (f"/{page}", f"-{page}")
    superadmin, own = views.superadmin_page(page), views.own_page(page)
    urlpatterns += [
        path(f"superadmin/ai-costs{below}", superadmin, name=f"ai-costs{suffix}"),
        path(f"superadmin/ai-costs{below}/", superadmin),
        # The overview of owners and members has had a slash at its end from the first version.
        path(f"usage{below}", own, name=None if page == OVERVIEW else f"usage{suffix}"),
        path(f"usage{below}/", own, name="usage" if page == OVERVIEW else None),
    ]
urlpatterns += [
    path("superadmin/ai-costs/calls/<int:id>", call.superadmin_call, name="ai-costs-call"),
    path("superadmin/ai-costs/calls/<int:id>/", call.superadmin_call),
    path("usage/calls/<int:id>", call.own_call, name="call"),
    path("usage/calls/<int:id>/", call.own_call),
]
