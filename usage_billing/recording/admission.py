"""Asks whether a call may be sent: a budget stops it before a byte leaves.

Who knows the budgets registers itself, so that recording imports nothing above it. Without a guard every call is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from usage_billing.recording.context import Attribution
from usage_billing.recording.event import Flavour, Hold

BUDGET_EXCEEDED = "budget_exceeded"
"""The error code of a call that a budget stops."""


class Planned(NamedTuple):
    """A call that is about to be sent, with the bounds of what it may use.

    started_at: epoch seconds. deployment: the name in the path of Azure, or of a profile on Bedrock. text_bytes: of the
    body, without media; no token is shorter. is_open: its input holds more than the body tells (files, earlier turns,
    results of tools, media). most_output: the most tokens of each answer; None: the model's own bound. answers: how
    many. writes_cache: whether input may be written to a cache. tier: the service tier asked for. makes_answer: whether
    it is answered at once, unlike a batch.
    """

    attribution: Attribution
    started_at: float
    flavour: Flavour
    url: str
    model: str
    deployment: str = ""
    text_bytes: int = 0
    is_open: bool = True
    most_output: int | None = None
    answers: int = 1
    writes_cache: bool = False
    tier: str = ""
    makes_answer: bool = True


class Refusal(NamedTuple):
    """Why a call is not sent. message: for the developer. budget: facts for the record, as JSON holds them."""

    message: str
    budget: dict[str, Any]


class MustWait:
    """The type of `MUST_WAIT`."""


MUST_WAIT: Final = MustWait()
"""The answer that needs a look into the database, where the caller may not wait for it here."""

Admitted = Sequence[Hold]
"""What the call reserves: settled by the ledger with its record."""


class Guard(Protocol):
    """Decides about calls. Whoever asks sends a call about which it raises."""

    def concerns(self, attribution: Attribution) -> bool:
        """Whether a budget may count a call of this attribution. Callers wait for it: it does no I/O."""

    def admit(self, call: Planned, *, may_wait: bool) -> Admitted | Refusal | MustWait:
        """Reserve what the call may cost, or refuse it. `MUST_WAIT` only if it may not wait."""

    def recorded(self, holds: Admitted) -> None:
        """The event that carries these holds is in the outbox."""

    def released(self, holds: Admitted) -> None:
        """The call was not sent, or leaves no record: what it held is free again."""


guard: Guard | None = None
"""The guard of this process; `usage_billing.apps` registers it."""
