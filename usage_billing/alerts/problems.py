"""Why a message could not be sent."""

from __future__ import annotations

from datetime import timedelta


class DeliveryError(Exception):
    """Raised when a message was not taken. The text is for the person who reads the log of deliveries: it says what to
    do, and holds no secret. is_final: trying again would not help. retry_after: what the other side asked for."""

    def __init__(self, text: str, *, is_final: bool = False, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.is_final = is_final
        self.retry_after = retry_after
