"""Fills outboxes with calls of all organisations: python -m tests.support.citus_events FOLDER OUTBOXES EVENTS"""

from __future__ import annotations

import random
import secrets
import sys
from pathlib import Path

import django


def main(folder: Path, outboxes: int, events: int) -> None:
    django.setup()
    from tests.support.factories import chat_usage, event
    from usage_billing.models import Organization
    from usage_billing.recording.event import encode
    from usage_billing.recording.outbox import Outbox

    orgs = [*Organization.objects.exclude(slug="unattributed").values_list("pk", flat=True)]
    for number in range(outboxes):
        chance, name = random.Random(number), secrets.token_hex(8)
        path = folder / str(number) / "outbox"
        path.parent.mkdir(exist_ok=True)
        outbox = Outbox(path)
        for start in range(0, events, 1_000):
            outbox.append(
                *(
                    encode(
                        event(
                            org=chance.choice(orgs),
                            user=chance.randrange(1, 9),
                            usage=chat_usage(chance.randrange(1, 9_999), chance.randrange(1, 999)),
                            request_id=f"chatcmpl-{name}{count:013d}",
                            model=chance.choice(["gpt-4.1", "gpt-4.1-mini", "gpt-99"]),
                            attribution={"agent_id": chance.choice("ab"), "request_type": chance.choice("xyz")},
                        )
                    )
                    for count in range(start, start + 1_000)
                )
            )
        outbox.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
