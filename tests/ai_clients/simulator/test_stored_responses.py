"""The memory of responses is bounded, and reading keeps one in it."""

from ai_clients.simulator.stored_responses import StoredResponses


def test_find_returns_what_was_kept() -> None:
    stored = StoredResponses()
    stored.keep("resp_1", b"one")
    assert stored.find("resp_1") == b"one"
    assert stored.find("resp_2") is None


def test_keep_drops_the_least_recently_used() -> None:
    stored = StoredResponses(most_kept=2)
    stored.keep("resp_1", b"one")
    stored.keep("resp_2", b"two")
    stored.find("resp_1")
    stored.keep("resp_3", b"three")
    assert stored.find("resp_2") is None
    assert stored.find("resp_1") == b"one"
    assert stored.find("resp_3") == b"three"
