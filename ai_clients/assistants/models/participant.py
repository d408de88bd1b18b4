"""The community participants whom the analysis describes."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Participant(models.Model):
    """A person in an organisation's chats, with the profile that a model made of their messages.

    `external_id` is the person's id where the chats are. Without an analysis the profile is empty and `analysed_at`
    NULL; `analysed_at` is the moment at which the messages were read for it. `claimed_at` is set while an analysis is
    under way, so that two at once do not pay for the same one.
    """

    class Role(models.TextChoices):
        LEADER = "leader", _("opinion leader")
        EXPERT = "expert", _("expert")
        HELPER = "helper", _("helper")
        NEWCOMER = "newcomer", _("newcomer")
        REGULAR = "regular", _("regular")
        CRITIC = "critic", _("critic")
        OBSERVER = "observer", _("observer")

    class Activity(models.TextChoices):
        HIGH = "high", _("high")
        MEDIUM = "medium", _("medium")
        LOW = "low", _("low")

    class Tone(models.TextChoices):
        FRIENDLY = "friendly", _("friendly")
        NEUTRAL = "neutral", _("neutral")
        IRONIC = "ironic", _("ironic")
        CRITICAL = "critical", _("critical")
        AGGRESSIVE = "aggressive", _("aggressive")

    org = models.ForeignKey(
        "usage_billing.Organization",
        on_delete=models.CASCADE,
        db_index=False,
        related_name="participants",
        verbose_name=_("organisation"),
    )
    external_id = models.CharField(_("external id"), max_length=100, help_text=_("The person’s id in the chats."))
    name = models.CharField(_("person’s name"), max_length=200)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    role = models.CharField(_("role in the community"), max_length=10, choices=Role.choices, blank=True, default="")
    activity = models.CharField(_("activity"), max_length=10, choices=Activity.choices, blank=True, default="")
    tone = models.CharField(_("tone"), max_length=10, choices=Tone.choices, blank=True, default="")
    interests = models.JSONField(_("interests"), blank=True, default=list)
    analysed_at = models.DateTimeField(_("analysed at"), null=True, blank=True)
    claimed_at = models.DateTimeField(_("analysis began at"), null=True, blank=True)

    class Meta:
        db_table = "ai_participant"
        ordering = ("name", "pk")
        verbose_name = _("community participant")
        verbose_name_plural = _("community participants")
        constraints = (
            models.UniqueConstraint(fields=("org", "external_id"), name="participant_org_external_id"),
            models.CheckConstraint(
                name="participant_profile",
                condition=models.Q(analysed_at__isnull=True, role="", activity="", tone="")
                | models.Q(
                    analysed_at__isnull=False,
                    role__in=("leader", "expert", "helper", "newcomer", "regular", "critic", "observer"),
                    activity__in=("high", "medium", "low"),
                    tone__in=("friendly", "neutral", "ironic", "critical", "aggressive"),
                ),
            ),
        )

    def __str__(self) -> str:
        return self.name
