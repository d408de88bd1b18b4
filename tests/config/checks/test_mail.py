"""`check --deploy` on e-mail."""

import environ
import pytest
from pytest_django import Settings

from config.checks.mail import mail_is_sent_and_encrypted


@pytest.mark.parametrize(
    ("url", "is_named"),
    [
        ("smtp+tls://user:password@mail.example.com:587", False),
        ("smtp+ssl://user:password@mail.example.com:465", False),
        ("smtp://localhost:25", False),
        ("smtp://127.0.0.1:25", False),
        ("smtp://user:password@mail.example.com:25", True),
        ("smtp://10.0.0.5:25", True),
        ("consolemail://", True),
        ("dummymail://", True),
        ("filemail:///tmp/mail", True),
    ],
)
def test_mail_in_plain_text_or_nowhere_is_named(settings: Settings, url: str, is_named: bool) -> None:
    # What the address does not name is off, as `config.settings` has it.
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    for name, value in environ.Env.email_url_config(url).items():
        if name.startswith("EMAIL_"):
            setattr(settings, name, value)
    found = [message.id for message in mail_is_sent_and_encrypted()]
    assert found == (["usage_billing.W029"] if is_named else [])


def test_a_backend_of_ones_own_is_not_judged(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "anymail.backends.mailgun.EmailBackend"
    assert mail_is_sent_and_encrypted() == []
