"""`check --deploy` reports insecure e-mail settings."""

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
def test_unencrypted_or_undelivered_mail_is_reported(settings: Settings, url: str, is_named: bool) -> None:
    # Options that the URL does not name are off, as in `config.settings`.
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    for name, value in environ.Env.email_url_config(url).items():
        if name.startswith("EMAIL_"):
            setattr(settings, name, value)
    found = [message.id for message in mail_is_sent_and_encrypted()]
    assert found == (["usage_billing.W029"] if is_named else [])


def test_a_custom_backend_is_not_reported(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "anymail.backends.mailgun.EmailBackend"
    assert mail_is_sent_and_encrypted() == []
