"""Recent attempts that count towards a limit: log-ins, password resets, runs of agents."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class ThrottleCount(models.Model):
    """The moments (seconds since 1970) of one limit's attempts, finished and under way.

    `auth.limits` is the only reader and writer.
    """

    key = models.CharField(_("key"), max_length=160, primary_key=True)
    moments = models.JSONField(_("moments"), default=list)
    under_way = models.JSONField(_("under way"), default=list)
    expires_at = models.DateTimeField(_("expires at"), db_index=True)

    class Meta:
        db_table = "usage_throttle_count"
        verbose_name = _("throttle count")
        verbose_name_plural = _("throttle counts")

    def __str__(self) -> str:
        return self.key
