"""The messages of participants."""

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ai_clients.assistants.models.participant import Participant


class Message(models.Model):
    """A message in one of an organisation's chats. `received_at` is the moment at which it was stored."""

    org = models.ForeignKey(
        "usage_billing.Organization",
        on_delete=models.CASCADE,
        db_index=False,
        related_name="messages",
        verbose_name=_("organisation"),
    )
    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="messages", verbose_name=_("participant")
    )
    chat_id = models.CharField(_("chat"), max_length=100)
    external_id = models.CharField(_("external id"), max_length=100, help_text=_("The message’s id in its chat."))
    answers = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="answered_by",
        verbose_name=_("answer to"),
    )
    text = models.TextField(_("text"))
    sent_at = models.DateTimeField(_("sent at"))
    received_at = models.DateTimeField(_("received at"), default=timezone.now, editable=False)

    class Meta:
        db_table = "ai_participant_message"
        ordering = ("-sent_at", "-pk")
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = (
            models.UniqueConstraint(fields=("org", "chat_id", "external_id"), name="participant_message_external_id"),
        )
        indexes = (models.Index(fields=("org", "participant", "-sent_at"), name="idx_participant_message"),)

    def __str__(self) -> str:
        return self.text if len(self.text) <= 60 else f"{self.text[:59]}…"

    def clean(self) -> None:
        """A message, who wrote it and what it answers belong to one organisation."""
        super().clean()
        wrong = {
            name: ValidationError(_("This one belongs to another organisation."))
            for name in ("participant", "answers")
            if getattr(self, f"{name}_id") is not None and getattr(self, name).org_id != self.org_id
        }
        if wrong:
            raise ValidationError(wrong)
