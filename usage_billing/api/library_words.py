"""Words of the API's libraries that have no Russian in them: named here, they are in our catalogue."""

from django.utils.translation import gettext_noop as _

WORDS = (
    _("Authorization header must contain two space-delimited values"),
    _("Expected available in {wait} second."),
    _("Expected available in {wait} seconds."),
    _("Given token not valid for any token type"),
    _("No active account found with the given credentials"),
    _("The user's password has been changed."),
    _("Token contained no recognizable user identification"),
    _("Token has no id"),
    _("Token has wrong type"),
    _("Token is expired"),
    _("Token is invalid"),
    _("User is inactive"),
    _("User not found"),
)
