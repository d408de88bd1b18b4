"""Saved views: a page with its parameters, under a name."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from usage_billing.models.organization import Organization

LONGEST_NAME = 100
LONGEST_QUERY = 4_000
VIEWS_PER_USER = 100


class SavedView(models.Model):
    """A page and its parameters. It stores no numbers: whoever opens it sees what their own scope shows.

    `org` is NULL only for views of superadmins over all organisations, which open to superadmins alone. A view that
    `is_shared` opens to the people of its organisation (without one, to all superadmins), else to its user alone.
    `user` is NULL once the user of a shared view is deleted. `is_start`: the page that its user lands on.
    """

    class Page(models.TextChoices):
        OVERVIEW = "overview", _("Overview")
        EXPLORE = "explore", _("Explore")
        CALLS = "calls", _("Calls")
        INSIGHTS = "insights", _("Insights")

    org = models.ForeignKey(
        Organization,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        verbose_name=_("organisation"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("user"),
    )
    name = models.CharField(_("name"), max_length=LONGEST_NAME)
    page = models.CharField(_("page"), max_length=10, choices=Page.choices)
    query = models.CharField(_("parameters"), max_length=LONGEST_QUERY, blank=True, default="")
    is_shared = models.BooleanField(_("shared"), default=False)
    is_start = models.BooleanField(_("start page"), default=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        db_table = "usage_saved_view"
        ordering = ("name", "id")
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        constraints = (
            models.UniqueConstraint(
                fields=("org", "user", "name"),
                name="saved_view_name",
                violation_error_message=_("You have a view of this name already."),
            ),
            models.UniqueConstraint(
                fields=("user", "name"),
                condition=models.Q(org__isnull=True),
                name="saved_view_name_of_all",
                violation_error_message=_("You have a view of this name already."),
            ),
            models.UniqueConstraint(fields=("org", "user"), condition=models.Q(is_start=True), name="saved_view_start"),
            models.UniqueConstraint(
                fields=("user",),
                condition=models.Q(is_start=True, org__isnull=True),
                name="saved_view_start_of_all",
            ),
            models.CheckConstraint(
                condition=models.Q(page__in=("overview", "explore", "calls", "insights")), name="saved_view_page"
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="saved_view_named"),
            models.CheckConstraint(
                condition=models.Q(user__isnull=False) | models.Q(is_shared=True, is_start=False),
                name="saved_view_of_somebody",
            ),
        )

    def __str__(self) -> str:
        return self.name
