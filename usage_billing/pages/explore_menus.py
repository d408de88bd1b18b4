"""The controls of Explore above the chart: one menu of links each, which works without JavaScript."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from usage_billing import reports
from usage_billing.pages import dimensions
from usage_billing.pages.controls import Choice as Option
from usage_billing.pages.dimensions import WORKFLOWS, Dimension
from usage_billing.pages.explore_choice import BEFORE, NONE, SORTED_HERE, Choice, may_be_hourly
from usage_billing.pages.explore_metrics import METRICS
from usage_billing.pages.page import Page
from usage_billing.pages.parameters import Pairs
from usage_billing.pages.tag_keys import tag_keys
from usage_billing.reports import TAG
from usage_billing.templatetags.amounts import written_day

STEP_NAMES = {"hour": _("Hour"), "day": _("Day"), "week": _("Week"), "month": _("Month")}


@dataclass(frozen=True)
class Menu:
    """label: the control. value: what is chosen. form: `tag` or `dates`, a form below the links, or nothing.

    kept: the parameters that the form keeps. name: the parameter that the menu changes.
    """

    name: str
    label: str | Promise
    value: str | Promise
    options: list[Option]
    form: str = ""
    kept: Pairs = field(default=())


def menus(page: Page, choice: Choice) -> list[Menu]:
    """The controls in the order of the page. One query, for the keys of tags."""
    offered = [*dimensions.offered(page.scope), *WORKFLOWS, *(dimensions.of_tag(key) for key in tag_keys(page))]
    return [
        _metric(page, choice),
        _group(page, choice, offered),
        _then(page, choice, offered),
        _step(page, choice),
        _compare(page, choice),
    ]


def _metric(page: Page, choice: Choice) -> Menu:
    return Menu(
        "metric",
        _("Metric"),
        choice.metric.title,
        [
            # The order was one of the metric before.
            Option(str(each.title), page.link(metric=each.name, sort=None), each is choice.metric)
            for each in METRICS
        ],
    )


def _group(page: Page, choice: Choice, offered: list[Dimension]) -> Menu:
    options = [Option(_title(each), page.link(_grouped(choice, each)), each == choice.group) for each in offered]
    return Menu("group", _("Group by"), _title(choice.group), options, "tag", page.parameters.hidden(["group"]))


def _grouped(choice: Choice, group: Dimension) -> dict[str, str | None]:
    """The parameters that group by it; if it is the second group, both change places."""
    changes: dict[str, str | None] = {"group": group.name}
    if group == choice.then:
        changes["then"] = choice.group.name
    return changes


def _then(page: Page, choice: Choice, offered: list[Dimension]) -> Menu:
    without = page.link(then=None, **({"sort": None} if choice.sort in SORTED_HERE else {}))
    options = [Option(gettext("nothing"), without, choice.then is None)]
    options += [
        Option(_title(each), page.link(then=each.name), each == choice.then) for each in offered if each != choice.group
    ]
    value = gettext("nothing") if choice.then is None else _title(choice.then)
    return Menu("then", _("then by"), value, options, "tag", page.parameters.hidden(["then"]))


def _step(page: Page, choice: Choice) -> Menu:
    may_hour = may_be_hourly(page.parameters.period, page.today)
    options = [
        Option(str(STEP_NAMES[name]), page.link(step=name), name == choice.step)
        for name in reports.ALL_STEPS
        if name != "hour" or may_hour
    ]
    return Menu("step", _("Step"), STEP_NAMES[choice.step], options)


def _compare(page: Page, choice: Choice) -> Menu:
    dates: dict[str, None] = {"compare_from": None, "compare_to": None}
    texts = {BEFORE: gettext("period before"), NONE: pgettext("comparison", "nothing")}
    options = [
        Option(
            texts[BEFORE], page.link({**dates, "compare": None}), choice.compared is not None and not choice.is_custom
        ),
        Option(texts[NONE], page.link({**dates, "compare": NONE}), choice.compared is None),
    ]
    value = texts[NONE] if choice.compared is None else texts[BEFORE]
    if choice.is_custom and choice.compared is not None and choice.compared.since is not None:
        value = f"{written_day(choice.compared.since)} – {written_day(choice.compared.last_day(page.today))}"
    kept = page.parameters.hidden(["compare", *dates])
    return Menu("compare", pgettext_lazy("control", "Compare"), value, options, "dates", kept)


def _title(dimension: Dimension) -> str:
    if dimension.name.startswith(TAG):
        return gettext("tag: %(key)s") % {"key": dimension.one}
    return str(dimension.one)
