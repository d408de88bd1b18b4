"""The form of price overrides: a field for each unit, clear refusals, a preview that writes nothing."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.support import factories
from tests.support.factories import chat_usage, event
from tests.support.rows import enter, row
from usage_billing.admin import price_preview, price_units
from usage_billing.ledger import writer
from usage_billing.models import DailyUsage, Membership, Organization, PriceOverride, RepriceRun, UsageRecord

PRICES = "admin:usage_billing_priceoverride"
RUNS = "admin:usage_billing_repricerun"

pytestmark = pytest.mark.django_db


def price_form(prices: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    given = {"input_mtok": "2.5", "output_mtok": "10"} if prices is None else prices
    return {
        "provider": "openai",
        "model_pattern": "gpt-99*",
        "org": "",
        "valid_from": "2026-05-01",
        "note": "",
        **{f"price_{key}": usd for key, usd in given.items()},
        **fields,
    }


def own_price(prices: dict[str, str] | None = None, **fields: Any) -> PriceOverride:
    given = {"provider": "openai", "model_pattern": "gpt-99*", "valid_from": date(2026, 5, 1)} | fields
    return PriceOverride.objects.create(prices=prices or {"input_mtok": "2.5", "output_mtok": "10"}, **given)


def history(client: Client, price_id: int) -> list[str]:
    """Return the entries of a price's history page, oldest first."""
    response = client.get(reverse(f"{PRICES}_history", args=[price_id]))
    return [entry.get_change_message() for entry in response.context["action_list"]]


def errors(response: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return {name: list(texts) for name, texts in found.items()}


def test_pages_of_prices_open(superadmin: Client, acme: Organization) -> None:
    price = own_price(org=acme)
    addresses = [
        reverse(f"{PRICES}_changelist"),
        reverse(f"{PRICES}_add"),
        *(reverse(f"{PRICES}_{page}", args=[price.pk]) for page in ("change", "delete", "history")),
    ]
    assert {address: superadmin.get(address).status_code for address in addresses} == dict.fromkeys(addresses, 200)


def test_every_unit_has_a_field_with_what_its_price_is_for(superadmin: Client) -> None:
    form = superadmin.get(reverse(f"{PRICES}_add")).context["adminform"].form
    fields = {name: (str(field.label), str(field.help_text)) for name, field in form.fields.items()}
    assert {name for name in fields if name.startswith("price_")} == {f"price_{key}" for key in price_units.all_keys()}
    assert fields["price_input_mtok"] == ("Input", "USD per million tokens")
    assert fields["price_cache_write_1h_mtok"] == ("Cache write, 1 hour", "USD per million tokens")
    assert fields["price_output_audio_mtok"] == ("Output: audio", "USD per million tokens")
    assert fields["price_web_searches_kcount"] == ("Web searches", "USD per thousand calls")
    # Every unit of the installed price list has a name in words.
    assert [key for key in price_units.all_keys() if str(price_units.label(key)) == key] == []


def test_unit_that_the_price_list_does_not_know_is_named_by_its_key() -> None:
    assert (price_units.label("input_smells"), price_units.per("input_smells")) == ("input_smells", "USD")


def test_rare_units_are_folded_away_until_one_has_a_price(superadmin: Client) -> None:
    def is_folded(response: Any) -> bool:
        (more,) = (fieldset for fieldset in response.context["adminform"] if fieldset.name == "More units")
        return bool(more.is_collapsible)

    assert is_folded(superadmin.get(reverse(f"{PRICES}_add")))
    usual = own_price()
    assert is_folded(superadmin.get(reverse(f"{PRICES}_change", args=[usual.pk])))
    rare = own_price({"input_mtok": "1", "input_video_mtok": "2"}, model_pattern="*")
    assert not is_folded(superadmin.get(reverse(f"{PRICES}_change", args=[rare.pk])))
    refused = superadmin.post(reverse(f"{PRICES}_add"), price_form({"input_video_mtok": "2"}))
    assert not is_folded(refused)


def test_price_can_be_added_and_says_who_did(superadmin: Client, acme: Organization) -> None:
    response = superadmin.post(
        reverse(f"{PRICES}_add"), price_form(org=acme.pk, provider=" OpenAI ", note="The contract of May")
    )
    assert response.status_code == 302
    price = PriceOverride.objects.get()
    assert (price.provider, price.org, price.prices) == ("openai", acme, {"input_mtok": "2.5", "output_mtok": "10"})
    assert price.created_by is not None
    assert price.created_by.get_username() == "root"
    assert history(superadmin, price.pk) == [
        "Provider: OpenAI\nModel: gpt-99*\nOrganisation: Acme\nValid from: 2026-05-01\nNote: The contract of May\n"
        'Prices, USD: {"input_mtok": "2.5", "output_mtok": "10"}'
    ]


TOO_FINE = "A price has at most 12 digits after the point."


@pytest.mark.parametrize(
    ("prices", "refused"),
    [
        ({}, {"input_mtok": "Write at least one price: of input and output, as a rule."}),
        ({"input_mtok": "-1"}, {"input_mtok": "A price is not negative. 0 means free."}),
        ({"input_mtok": "cheap"}, {"input_mtok": "Write a number such as 2.5."}),
        ({"input_mtok": "NaN"}, {"input_mtok": "Write a number such as 2.5."}),
        ({"input_mtok": "1000000"}, {"input_mtok": "A price is below one million USD."}),
        ({"input_mtok": "0.1234567890123"}, {"input_mtok": TOO_FINE}),
        ({"input_mtok": "1", "output_mtok": "1e-13"}, {"output_mtok": TOO_FINE}),
        (
            {"cache_read_mtok": "1"},
            {"input_mtok": "Also needed: without it, these prices do not cover every call."},
        ),
        (
            {"input_mtok": "1", "cache_read_mtok": "1", "input_audio_mtok": "1"},
            {"cache_audio_read_mtok": "Also needed: without it, these prices do not cover every call."},
        ),
    ],
)
def test_price_that_is_none_is_refused_at_its_field(
    superadmin: Client, prices: dict[str, str], refused: dict[str, str]
) -> None:
    response = superadmin.post(reverse(f"{PRICES}_add"), price_form(prices))
    assert errors(response) == {f"price_{key}": [text] for key, text in refused.items()}
    assert not PriceOverride.objects.exists()
    # The form still shows what was written, so that it can be corrected.
    form = response.context["adminform"].form
    assert {key: form[f"price_{key}"].value() for key in prices} == prices


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("provider", " ", "This field is required."),
        ("valid_from", "yesterday", "Enter a valid date."),
    ],
)
def test_what_it_applies_to_is_checked(superadmin: Client, field: str, value: str, error: str) -> None:
    response = superadmin.post(reverse(f"{PRICES}_add"), {**price_form(), field: value})
    assert errors(response) == {field: [error]}


def test_comma_is_taken_and_shown_in_russian(superadmin: Client) -> None:
    russian = {"accept-language": "ru"}
    superadmin.post(reverse(f"{PRICES}_add"), price_form({"input_mtok": "2,5"}), headers=russian)
    price = PriceOverride.objects.get()
    assert price.prices == {"input_mtok": "2.5"}
    page = superadmin.get(reverse(f"{PRICES}_change", args=[price.pk]), headers=russian).content.decode()
    assert re.search(r'name="price_input_mtok" value="2,5"', page)


def test_prices_that_are_not_touched_keep_their_digits(superadmin: Client) -> None:
    price = own_price({"input_mtok": "2.50", "output_mtok": "10"})
    superadmin.post(
        reverse(f"{PRICES}_change", args=[price.pk]), price_form({"input_mtok": "2.5", "output_mtok": "11"})
    )
    price.refresh_from_db()
    assert price.prices == {"input_mtok": "2.50", "output_mtok": "11"}


def test_unit_that_the_price_list_has_lost_can_be_kept_and_removed(superadmin: Client) -> None:
    price = own_price({"input_mtok": "1", "input_smells": "7"})
    address = reverse(f"{PRICES}_change", args=[price.pk])
    field = superadmin.get(address).context["adminform"].form["price_input_smells"]
    assert (str(field.value()), "no longer has this unit" in str(field.help_text)) == ("7", True)
    superadmin.post(address, price_form({"input_mtok": "2", "input_smells": "7"}))
    price.refresh_from_db()
    assert price.prices == {"input_mtok": "2", "input_smells": "7"}
    superadmin.post(address, price_form({"input_mtok": "2", "input_smells": ""}))
    price.refresh_from_db()
    assert price.prices == {"input_mtok": "2"}


def test_models_of_calls_and_of_the_price_list_are_suggested(superadmin: Client, acme: Organization) -> None:
    now = timezone.now()
    enter(row(acme, ai_provider="llm.example.com", ai_model="our-own-llama", created_at=now, usage_date=now.date()))
    page = superadmin.get(reverse(f"{PRICES}_add")).content.decode()
    for name, texts in (
        ("provider", ("openai", "anthropic", "llm.example.com")),
        ("model_pattern", ("our-own-llama", "gpt-4.1-mini", "claude-haiku-4-5")),
    ):
        (options,) = re.findall(rf'<datalist id="id_{name}-suggestions">(.*?)</datalist>', page)
        assert f'list="id_{name}-suggestions"' in page
        assert [text for text in texts if f'value="{text}"' not in options] == []


@pytest.mark.parametrize("whose", ["all", "acme"])
def test_second_price_for_the_same_is_refused(superadmin: Client, acme: Organization, whose: str) -> None:
    org = acme if whose == "acme" else None
    own_price(org=org)
    again = price_form(org=org.pk if org else "", model_pattern="GPT-99*")
    ((text,),) = errors(superadmin.post(reverse(f"{PRICES}_add"), again)).values()
    assert text.startswith("A price for this model")
    assert PriceOverride.objects.count() == 1


def test_history_has_what_was_there_before_each_change(superadmin: Client, acme: Organization) -> None:
    price = own_price()
    address = reverse(f"{PRICES}_change", args=[price.pk])
    dearer = {"input_mtok": "3", "output_mtok": "10"}
    superadmin.post(address, price_form(dearer))
    superadmin.post(address, price_form(dearer, org=acme.pk, note="New"))
    superadmin.post(address, price_form(dearer, org=acme.pk, note="New"))
    assert history(superadmin, price.pk) == [
        'Prices, USD: {"input_mtok": "2.5", "output_mtok": "10"} → {"input_mtok": "3", "output_mtok": "10"}',
        "Organisation: — → Acme\nNote: — → New",
        "No fields changed.",
    ]


def test_deleted_price_stays_in_the_history(superadmin: Client) -> None:
    price = own_price()
    superadmin.post(reverse(f"{PRICES}_delete", args=[price.pk]), {"post": "yes"})
    other = own_price()
    delete_selected = {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"}
    superadmin.post(reverse(f"{PRICES}_changelist"), delete_selected)
    assert not PriceOverride.objects.exists()
    assert (
        list(LogEntry.objects.values_list("object_repr", "change_message"))
        == [("openai / gpt-99*, 2026-05-01", 'all: {"input_mtok": "2.5", "output_mtok": "10"}')] * 2
    )


def test_changing_a_price_changes_no_call_that_is_costed(superadmin: Client, acme: Organization) -> None:
    price = own_price()
    enter(row(acme, ai_model="gpt-99", price_source=f"override:{price.pk}"))
    before = UsageRecord.objects.values().get()
    superadmin.post(reverse(f"{PRICES}_change", args=[price.pk]), price_form({"input_mtok": "0"}))
    price.refresh_from_db()
    assert price.prices == {"input_mtok": "0"}
    assert UsageRecord.objects.values().get() == before


def test_prices_are_found_by_provider_and_model(superadmin: Client, acme: Organization) -> None:
    own_price(org=acme)
    own_price(provider="llm.example.com", model_pattern="llama*")

    def found(**query: str) -> list[str]:
        response = superadmin.get(reverse(f"{PRICES}_changelist"), query)
        return [price.model_pattern for price in response.context["cl"].result_list]

    assert found() == ["llama*", "gpt-99*"]
    assert found(q="LLA") == ["llama*"]
    assert found(provider="openai") == ["gpt-99*"]
    page = superadmin.get(reverse(f"{PRICES}_changelist")).content.decode()
    assert page.count("Input 2.5, Output 10") == 2
    assert ("Acme" in page, "all" in page) == (True, True)


@pytest.mark.parametrize(("is_superuser", "status"), [(False, 403), (True, 200)])
def test_prices_are_for_superadmins(client: Client, is_superuser: bool, status: int, settings: Any) -> None:
    """They are of all organisations; row-level security shows them to nobody else, whatever their permissions."""
    settings.LANGUAGE_CODE = "en"
    person = User.objects.create_user("staff", is_staff=True, is_superuser=is_superuser)
    person.user_permissions.set(Permission.objects.all())
    client.force_login(person)
    for page in ("changelist", "add"):
        assert client.get(reverse(f"{PRICES}_{page}")).status_code == status
    assert client.post(reverse(f"{PRICES}_add"), price_form(_preview="1")).status_code == status
    assert ("Price overrides" in client.get(reverse("admin:index")).content.decode()) is is_superuser


def test_owner_of_an_organisation_has_no_prices_to_see(client: Client, acme: Organization) -> None:
    owner = User.objects.create_user("olga")
    Membership.objects.create(org=acme, user=owner, role="owner")
    client.force_login(owner)
    assert client.get(reverse(f"{PRICES}_changelist")).status_code == 302
    assert client.post(reverse(f"{PRICES}_add"), price_form()).status_code == 302
    assert not PriceOverride.objects.exists()


# ── Preview ──────────────────────────────────────────────────────────────────────────────────────────────────────


def call_now(org: Organization, model: str, days_ago: int = 0, **fields: Any) -> Any:
    return event(org=org, model=model, at=timezone.now() - timedelta(days=days_ago), **fields)


def everything() -> list[Any]:
    return [
        list(model._default_manager.order_by("pk").values())
        for model in (UsageRecord, DailyUsage, PriceOverride, RepriceRun, LogEntry)
    ]


def preview(client: Client, *, of: PriceOverride | None = None, **form: Any) -> price_preview.Preview:
    address = reverse(f"{PRICES}_change", args=[of.pk]) if of else reverse(f"{PRICES}_add")
    before = everything()
    response = client.post(address, price_form(form.pop("prices", None), _preview="1", **form))
    assert (response.status_code, errors(response), everything()) == (200, {}, before)
    found: price_preview.Preview = response.context["preview"]
    return found


def test_preview_shows_the_matching_calls_before_and_after(superadmin: Client, acme: Organization) -> None:
    factories.rate(timezone.now().date() - timedelta(days=2))
    writer.add(
        [
            call_now(acme, "gpt-99"),
            call_now(acme, "gpt-99-mini", 1),
            call_now(acme, "gpt-99", status="aborted", usage=chat_usage(700, 1)),
            call_now(acme, "gpt-99", 40),
            call_now(acme, "gpt-4.1-mini"),
            call_now(factories.organization(), "gpt-99"),
        ]
    )
    prices = {"input_mtok": "1", "output_mtok": "2"}
    found = preview(superadmin, prices=prices)
    assert {model["ai_model"]: model["requests_count"] for model in found.models} == {"gpt-99": 3, "gpt-99-mini": 1}
    assert (found.calls, found.unpriced_calls, found.priced, found.is_of_all) == (4, 4, 4, True)
    assert (found.usd_before, found.usd_after) == (Decimal(0), 3 * Decimal("0.0012"))
    assert found.rub_after == 80 * found.usd_after
    assert (found.applied, found.gained, dict(found.unpriced)) == (3, 3, {"cut-short": 1})
    assert preview(superadmin, prices=prices, org=acme.pk).calls == 3
    recent = preview(superadmin, prices=prices, valid_from=(timezone.now() + timedelta(days=3)).date().isoformat())
    assert recent.models == []


def test_preview_says_which_unit_has_no_price(superadmin: Client, acme: Organization) -> None:
    writer.add([call_now(acme, "gpt-99")])
    address = reverse(f"{PRICES}_add")
    page = superadmin.post(address, price_form({"input_mtok": "1"}, _preview="1")).content.decode()
    assert "1 call would have no price: no price for: Output." in page
    page = superadmin.post(address, price_form(model_pattern="gpt-1234", _preview="1")).content.decode()
    assert "matches. Write provider and model as the list of calls has them" in page
    page = superadmin.post(address, price_form({"input_mtok": "-1"}, _preview="1")).content.decode()
    assert "There is no preview yet: correct the fields that are marked above." in page


def test_preview_of_a_stored_price_replaces_it(superadmin: Client, acme: Organization) -> None:
    price = own_price(valid_from=date(2020, 1, 1))
    writer.add([call_now(acme, "gpt-99")])
    found = preview(superadmin, of=price, prices={"input_mtok": "10", "output_mtok": "0"}, valid_from="2020-01-01")
    assert (found.usd_before, found.usd_after, found.applied) == (Decimal("0.0035"), Decimal("0.01"), 1)
    assert dict(found.preceding) == {}


def test_preview_tells_of_an_override_that_takes_precedence(superadmin: Client, acme: Organization) -> None:
    of_acme = own_price(org=acme, valid_from=date(2020, 1, 1))
    writer.add([call_now(acme, "gpt-99"), call_now(factories.organization(), "gpt-99")])
    found = preview(superadmin, prices={"input_mtok": "1", "output_mtok": "1"})
    assert (found.priced, found.applied, dict(found.preceding)) == (2, 1, {f"override:{of_acme.pk}": 1})


def test_preview_matches_the_names_that_gateways_write(superadmin: Client, acme: Organization) -> None:
    writer.add([call_now(acme, "openai/gpt-99")])
    found = preview(superadmin, prices={"input_mtok": "1", "output_mtok": "2"})
    assert (found.calls, found.applied) == (1, 1)


def test_preview_prices_a_bounded_number_of_calls_and_says_so(
    superadmin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_preview, "PRICED", 4)
    monkeypatch.setattr(price_preview, "CELLS", 2)
    monkeypatch.setattr(price_preview, "FROM_CELL", 2)
    own = own_price({"input_mtok": "1", "output_mtok": "2"}, valid_from=date(2020, 1, 1))
    writer.add([call_now(acme, "gpt-99", day) for day in (0, 1, 2) for _ in range(3)])
    address = reverse(f"{PRICES}_change", args=[own.pk])
    twice = price_form({"input_mtok": "2", "output_mtok": "4"}, valid_from="2020-01-01", _preview="1")
    response = superadmin.post(address, twice)
    found = response.context["preview"]
    assert (found.calls, found.priced, found.is_of_all) == (9, 4, False)
    assert (found.usd_before, found.usd_after) == (4 * Decimal("0.0012"), 4 * Decimal("0.0024"))
    assert found.estimated_usd == 9 * Decimal("0.0024")
    assert "4 calls were priced exactly" in response.content.decode()


@pytest.mark.parametrize("calls", [2, 40])
def test_preview_asks_as_many_questions_for_more_calls(
    superadmin: Client, acme: Organization, calls: int, django_assert_max_num_queries: Any
) -> None:
    writer.add([call_now(acme, f"gpt-99-{number}", number % 9) for number in range(calls)])
    with django_assert_max_num_queries(22):
        response = superadmin.post(reverse(f"{PRICES}_add"), price_form(_preview="1"))
    assert response.context["preview"].priced == calls


def test_saving_may_lead_to_repricing(superadmin: Client, acme: Organization) -> None:
    response = superadmin.post(reverse(f"{PRICES}_add"), price_form(org=acme.pk, _recalculate="1"))
    assert PriceOverride.objects.count() == 1
    form = superadmin.get(response["Location"]).context["adminform"].form
    assert form.initial["model"] == "gpt-99*"
    assert (form.initial["provider"], form.initial["org"]) == ("openai", str(acme.pk))
    assert (form.initial["date_from"], form.initial["reason"]) == (
        "2026-05-01",
        "Price override: openai / gpt-99*, 2026-05-01",
    )
    assert not RepriceRun.objects.exists()
