"""The texts that the agents work on, and that their calls are attributed to."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _


class ContentPiece(models.Model):
    """A text of an organisation, published or on its way there.

    Its id, as text, is the `content_id` of the calls that worked on it; those outlive it. `platform` and `content_type`
    are plain words, as they are on the calls: `telegram`, `post`.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", _("draft")
        READY = "ready", _("ready to publish")
        PUBLISHED = "published", _("published")
        ARCHIVED = "archived", _("archived")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    org = models.ForeignKey(
        "usage_billing.Organization",
        on_delete=models.CASCADE,
        db_index=False,
        related_name="content_pieces",
        verbose_name=_("organisation"),
    )
    title = models.CharField(_("title"), max_length=300)
    text = models.TextField(_("text"), blank=True)
    platform = models.CharField(_("platform"), max_length=50, blank=True, help_text=_("Such as telegram or vk."))
    content_type = models.CharField(_("content type"), max_length=50, blank=True, help_text=_("Such as post or video."))
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.DRAFT)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    class Meta:
        db_table = "ai_content_piece"
        ordering = ("-created_at",)
        verbose_name = _("content piece")
        verbose_name_plural = _("content")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=("draft", "ready", "published", "archived")), name="content_piece_status"
            ),
        )
        indexes = (models.Index(fields=("org", "-created_at"), name="idx_content_piece_org"),)

    def __str__(self) -> str:
        return self.title
