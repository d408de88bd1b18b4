"""Words of REST framework without a Russian translation of its own: named here, they are in our catalogue."""

from django.utils.translation import gettext_noop as _

WORDS = (
    _("Expected available in {wait} second."),
    _("Expected available in {wait} seconds."),
)
