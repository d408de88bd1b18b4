"""Events from outside are kept within bounds; none is refused, and none makes the caller's code raise."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from django.utils.functional import SimpleLazyObject
from hypothesis import given
from hypothesis import strategies as st

from tests.support.factories import event
from usage_billing.models import DailyTagUsage, Organization, TagValue, UsageRecord
from usage_billing.models.daily_tag_usage import OTHER_VALUE
from usage_billing.recording import Event, gate, tags, usage_context
from usage_billing.recording.context import Attribution, current_attribution
from usage_billing.recording.event import decode, encode


def admitted(**fields: Any) -> Event:
    """The event behind the gate, the outbox and the gate once more."""
    first = gate.admitted(event(**fields))
    again = gate.admitted(decode(encode(first)))
    assert again == first
    return again


def test_the_lengths_are_those_of_the_columns() -> None:
    columns = {field.attname: field.max_length for field in UsageRecord._meta.concrete_fields}
    of_org = {field.attname: field.max_length for field in Organization._meta.concrete_fields}
    columns |= {"org_key": of_org["external_key"], "org_name": of_org["name"], "org_timezone": of_org["timezone"]}
    assert {name: columns[name] for name in gate.LENGTHS} == gate.LENGTHS


def test_an_ordinary_event_is_not_copied() -> None:
    account = {"organization": "org-1", "project": "proj_1", "api_key": "0123456789abcdef"}
    plain = event(context={"service_tier": "default"}, response={"http_status": 201}, account=account)
    assert gate.admitted(plain) is plain


def test_an_event_with_ordinary_tags_is_not_copied_and_others_are_bounded() -> None:
    plain = event(attribution={"tags": {"feature": "chat", "env": "prod"}})
    assert gate.admitted(plain) is plain
    found = admitted(attribution={"tags": {"a key": " \x00много\u202e слов", "empty": " ", "k" * 50: "v" * 200}})
    assert found.attribution.tags == {"a_key": "много\ufffd слов", "k" * 40: "v" * 100}
    assert len(admitted(attribution={"tags": {str(number): "x" for number in range(11)}}).attribution.tags) == 10


def test_the_bounds_of_tags_are_those_of_the_columns() -> None:
    for model in (DailyTagUsage, TagValue):
        columns = [getattr(model, name).field.max_length for name in ("tag_key", "tag_value")]
        assert columns == [tags.KEY_LENGTH, tags.VALUE_LENGTH]
    assert tags.value(OTHER_VALUE) != OTHER_VALUE  # no call has the value that stands for many


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"organization": "org 1", "project": "x" * 65}, {"organization": "~…", "project": "~…"}),
        ({"api_key": "sk-the-key-itself", "project": "p"}, {"project": "p"}),
        ({"user_profile": "", "somebody": "else", "organization": 7}, {"organization": "7"}),
    ],
)
def test_an_account_is_short_words_and_never_a_key(given: dict[str, Any], kept: dict[str, str]) -> None:
    found = admitted(account=given).account
    assert {name: "~…" if word.startswith("~") else word for name, word in found.items()} == kept


@pytest.mark.parametrize("number", [2**63 - 1, 2**62, -(2**63), 10**12 + 1, 10**40, 1e300])
def test_a_number_beyond_the_bound_makes_the_block_unreadable(number: float) -> None:
    for block in ({"prompt_tokens": number}, {"a": {"b": number}}, {"a": [1, {"b": number}]}):
        assert "unreadable" in json.loads(bytes(admitted(usage=block).usage))
    assert json.loads(bytes(admitted(units={"web_searches": number}).usage)).keys() == {"unreadable"}


@pytest.mark.parametrize("digits", [309, 400, 4300, 4301, 30_000])
def test_a_number_of_any_length_makes_the_block_unreadable(digits: int) -> None:
    """Python takes none of these for a float, and reads none of more than 4,300 digits."""
    block = msgspec.Raw(b'{"prompt_tokens":1' + b"0" * digits + b',"completion_tokens":1}')
    assert "unreadable" in json.loads(bytes(admitted(usage=block).usage))
    assert json.loads(bytes(gate.admitted(event(units={"web_searches": 10**digits})).usage)).keys() == {"unreadable"}


@pytest.mark.parametrize("hidden", [b'"\\ud800"', b'"\\u0000"', b"1e999", b"[" * 900 + b"]" * 900])
def test_nothing_hides_behind_a_key_that_comes_twice(hidden: bytes) -> None:
    block = msgspec.Raw(b'{"prompt_tokens":5,"completion_tokens":1,"x":' + hidden + b',"x":7}')
    kept = bytes(admitted(usage=block).usage)
    assert msgspec.json.decode(kept) == {"prompt_tokens": 5, "completion_tokens": 1, "x": 7}
    assert kept.count(b'"x"') == 1


def test_a_block_in_another_encoding_is_none() -> None:
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        assert bytes(admitted(usage=msgspec.Raw('{"prompt_tokens":5}'.encode(encoding))).usage) == b"null"


def test_the_largest_number_is_taken() -> None:
    block = {"prompt_tokens": gate.LARGEST_NUMBER, "completion_tokens": 0}
    assert json.loads(bytes(admitted(usage=block).usage)) == block


@pytest.mark.parametrize("depth", [gate.DEPTH + 1, 500, 950, 5000])
def test_a_block_that_is_nested_too_deep_is_unreadable(depth: int) -> None:
    nested = msgspec.Raw(b'{"a":' * depth + b"1" + b"}" * depth)
    assert "nested" in json.loads(bytes(gate.admitted(event(usage=nested)).usage))["unreadable"]


def test_a_block_that_is_too_large_is_unreadable() -> None:
    block = {"prompt_tokens": 5, "completion_tokens": 1, "text": "x" * 20_000_000}
    assert bytes(admitted(usage=block).usage) == b'{"unreadable":"larger than 32 KB"}'


def test_a_block_keeps_its_counts_when_its_texts_are_cleaned() -> None:
    block = {"prompt_tokens": 5, "completion_tokens": 1, "service_tier": "a\x1b[2J\u202e"}
    kept = json.loads(bytes(admitted(usage=block).usage))
    assert kept == {"prompt_tokens": 5, "completion_tokens": 1, "service_tier": "a\ufffd[2J\ufffd"}
    half_an_emoji = msgspec.Raw(b'{"prompt_tokens":5,"completion_tokens":1,"note":"\\ud83d"}')
    assert json.loads(bytes(gate.admitted(event(usage=half_an_emoji)).usage))["prompt_tokens"] == 5


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\u202eevil", "\u2066", "\ud800", "\x9b", "\ufeff", "\U000e0041"])
def test_names_have_no_characters_that_nobody_can_see(text: str) -> None:
    names = {"agent_id": text, "request_type": text, "workflow_id": text, "content_id": text, "platform": text}
    found = admitted(model=text, request_id=text, attribution={**names, "content_type": text, "task_type": text})
    kept = msgspec.structs.asdict(found.attribution)
    for value in (found.model, found.request_id, *(kept[name] for name in names)):
        assert value
        assert value.isprintable()


def test_ids_that_are_too_long_stay_distinct() -> None:
    ids = ["x" * 5000 + str(number) for number in range(5)]
    kept = [admitted(request_id=each, attribution={"workflow_id": each}) for each in ids]
    assert len({each.request_id for each in kept}) == 5
    assert len({each.attribution.workflow_id for each in kept}) == 5
    assert all(len(each.request_id) <= 200 and len(each.attribution.workflow_id or "") <= 100 for each in kept)


def test_ids_that_differ_by_what_is_cleaned_stay_distinct() -> None:
    assert admitted(request_id="a\x1b").request_id != admitted(request_id="a\x07").request_id


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("429 rate_limit_exceeded", True),
        ("DeploymentNotFound", True),
        ("400 invalid_request_error", True),
        ("unreadable-answer", True),
        ("500", True),
        ("401 sk-proj-Ab12Cd34Ef56Gh78", False),
        ("Summarise the letter to Mr Smith", False),
        ("x" * 200, False),
        ("400 <script>alert(1)</script>", False),
    ],
)
def test_an_error_code_is_kept_if_it_looks_like_one(code: str, kept: bool) -> None:
    found = admitted(error_code=code).error_code
    assert (found == code) is kept
    if not kept:
        assert "other~" in found
        assert code.split()[-1] not in found


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("https://gateway.example.com/k-5f2a9c/openai/v1/responses", "https://gateway.example.com/openai/v1/responses"),
        (
            "https://name.openai.azure.com/openai/deployments/mine/chat/completions",
            "https://name.openai.azure.com/openai/deployments/*/chat/completions",
        ),
        ("https://user:secret@example.com:8443/v1/messages", "https://example.com:8443/v1/messages"),
        ("https://api.openai.com/v1/responses/resp_1a2b", "https://api.openai.com/v1/responses/resp_1a2b"),
        ("https://example.com/sk-secret", "https://example.com/*"),
    ],
)
def test_of_an_address_only_the_known_path_is_kept(url: str, kept: str) -> None:
    assert admitted(url=url).url == kept


def test_an_address_that_is_none_is_kept_apart() -> None:
    for url in ("https://example.com:99999/v1/messages", "https://[/v1", "x" * 100_000, "", "://a/*", "https:///v1"):
        assert admitted(url=url).url.endswith(".invalid/*")


def test_a_moment_that_cannot_be_is_now() -> None:
    for moment in (float("nan"), float("inf"), -1e18, 1e18, 0.0):
        found = gate.admitted(msgspec.structs.replace(event(), started_at=moment, duration_ms=-5))
        assert datetime.fromtimestamp(found.started_at, UTC).year >= 2026
        assert found.duration_ms == 0


class Unspeakable:
    """An object that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def looked_up_late() -> Any:
    """It looks up what it stands for even when somebody asks of which class it is."""

    def fail() -> None:
        raise RuntimeError("the database is away")

    return SimpleLazyObject(fail)


class FailingText(str):
    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError

    def __getitem__(self, _key: Any) -> str:
        raise RuntimeError


def cyclic() -> dict[Any, Any]:
    cycle: dict[Any, Any] = {"text": "kept"}
    cycle["itself"] = cycle
    cycle["twice"] = [cycle, cycle]
    return cycle


def deep(depth: int) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for _ in range(depth):
        nested = {"a": nested}
    return nested


def wide() -> list[Any]:
    nested: list[Any] = []
    for _ in range(gate.DEPTH):
        nested = [nested] * gate.METADATA_CHARACTERS
    return nested


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "\ud800"},
        {"\ud800": 1},
        cyclic(),
        deep(5000),
        {"object": Unspeakable(), "in": [Unspeakable()]},
        {Unspeakable(): 1},
        {"number": 10**40, "not": float("nan"), "infinite": float("inf")},
        {"bytes": b"\xff", "set": {1}, "moment": datetime.now(UTC)},
        {"long": "x" * 10_000_000},
        {str(number): number for number in range(100_000)},
        {"list": list(range(1_000_000))},
        {"calls": lambda: 1 / 0},
        {"late": looked_up_late(), "in": [looked_up_late()]},
        {"text": FailingText("x"), FailingText("y"): 1},
        {"wide": wide()},
    ],
    ids=[
        "surrogate",
        "surrogate_key",
        "cycle",
        "deep",
        "unspeakable",
        "unspeakable_key",
        "numbers",
        "others",
        "long",
        "many",
        "list",
        "raises",
        "late",
        "text",
        "wide",
    ],
)
def test_metadata_of_any_kind_is_recorded_within_bounds(metadata: dict[Any, Any]) -> None:
    with usage_context(metadata=metadata, agent_id="kept"):
        found = gate.admitted(msgspec.structs.replace(event(), attribution=current_attribution()))
    body = encode(found)
    assert len(body) < 8 * gate.METADATA_CHARACTERS
    assert gate.admitted(decode(body)) == decode(body)
    assert found.attribution.agent_id == "kept"
    assert found.attribution.metadata


@pytest.mark.parametrize(
    "org", [True, False, 10**40, -(10**40), "9" * 5000, "\ud800", Unspeakable(), object(), 1.5, b"x"]
)
def test_an_organisation_that_is_none_costs_no_call(org: Any) -> None:
    with usage_context(org=org, user=org, agent_id=org, workflow_id=org):
        found = gate.admitted(msgspec.structs.replace(event(), attribution=current_attribution()))
    again = decode(encode(found)).attribution
    assert not isinstance(again.org_id, int)


class Failing:
    @property
    def pk(self) -> int:
        raise RuntimeError("the database is away")


def test_an_object_whose_id_cannot_be_read_raises_nothing() -> None:
    with usage_context(org=Failing(), user=Failing()) as attribution:
        assert attribution == Attribution()


def test_an_object_that_is_looked_up_late_and_fails_costs_no_call() -> None:
    late = looked_up_late()
    with usage_context(org=late, user=late, agent_id=late, request_type=late, workflow_id=late, metadata=late):
        found = gate.admitted(msgspec.structs.replace(event(), attribution=current_attribution()))
    assert decode(encode(found)).attribution == Attribution(
        agent_id="<SimpleLazyObject>", request_type="<SimpleLazyObject>"
    )


class FailingMapping(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError


@pytest.mark.parametrize("metadata", [["no mapping"], "text", 7, FailingMapping(a=1)])
def test_metadata_that_cannot_be_read_costs_no_call(metadata: Any) -> None:
    with usage_context(metadata={"of": "the outer"}), usage_context(metadata=metadata, agent_id=FailingText("a")):
        found = gate.admitted(msgspec.structs.replace(event(), attribution=current_attribution()))
    assert decode(encode(found)).attribution == Attribution(agent_id="a", metadata={"of": "the outer"})


def test_metadata_keeps_numbers_of_more_than_64_bits() -> None:
    numbers = {"unsigned": 2**64 - 1, "longer": 2**70, "in": [2**63]}
    assert gate.metadata(numbers) == {"unsigned": str(2**64 - 1), "longer": str(2**70), "in": [str(2**63)]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    block=st.dictionaries(st.text(), JSON),
    metadata=st.dictionaries(st.text(), JSON),
    tags=st.dictionaries(st.text(), st.text()),
    texts=st.lists(st.text(), min_size=8, max_size=8),
)
def test_any_event_goes_through_the_outbox_and_stays_as_it_is(
    block: dict[str, Any], metadata: dict[str, Any], tags: dict[str, str], texts: list[str]
) -> None:
    usage = msgspec.Raw(json.dumps(block).encode())
    request_id, model, code, url, agent, workflow, tier, word = texts
    found = gate.admitted(
        msgspec.structs.replace(
            event(),
            request_id=request_id,
            model=model,
            error_code=code,
            url=url,
            usage=usage,
            context={word: tier},
            attribution=Attribution(agent_id=agent, workflow_id=workflow, metadata=metadata, tags=tags),
        )
    )
    assert gate.admitted(decode(encode(found))) == found
