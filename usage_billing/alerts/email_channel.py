"""Alerts by e-mail, through Django's mail settings: one message for each address."""

from __future__ import annotations

from email.utils import parseaddr
from smtplib import SMTPException, SMTPRecipientsRefused

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from usage_billing.alerts.messages import Message
from usage_billing.alerts.problems import DeliveryError
from usage_billing.models import AlertDelivery


def send(delivery: AlertDelivery, message: Message) -> None:
    """Raises `DeliveryError`."""
    context = {"message": message}
    email = EmailMultiAlternatives(
        subject=message.subject,
        body=render_to_string("usage_billing/alerts/message.txt", context),
        to=[delivery.recipient],
        headers={
            # The same at each attempt: the reader's program shows it once.
            "Message-ID": f"<alert.{delivery.message_id}@{_domain()}>",
            "Auto-Submitted": "auto-generated",
            "Content-Language": message.language,
        },
    )
    email.attach_alternative(render_to_string("usage_billing/alerts/message.html", context), "text/html")
    try:
        email.send()
    except SMTPRecipientsRefused as error:
        codes = [code for code, _text in error.recipients.values()]
        raise DeliveryError(
            f"The mail server refuses the address {delivery.recipient} (code {codes[0] if codes else 'unknown'}).",
            is_final=bool(codes) and all(code >= 500 for code in codes),
        ) from error
    except ValueError as error:  # not an address, or one of two lines
        raise DeliveryError(f"“{delivery.recipient}” is no e-mail address.", is_final=True) from error
    except (SMTPException, OSError) as error:
        raise DeliveryError(f"The mail server did not take the message: {type(error).__name__}.") from error


def _domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
