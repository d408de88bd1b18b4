"""`manage.py demo`: runs every agent for every demo organisation, and makes a few SDK calls without an agent."""

from collections.abc import Callable, Iterator
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from ai_clients import Anthropic, OpenAI
from ai_clients.assistants.agents import agents
from ai_clients.assistants.models import ContentPiece
from ai_clients.assistants.runs import run
from ai_clients.connection import destinations
from usage_billing import usage_context
from usage_billing.conf import conf
from usage_billing.ledger import drain
from usage_billing.management import demo_data
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.models import Membership, Organization, UsageRecord
from usage_billing.recording import collected
from usage_billing.recording.outbox import Outbox
from usage_billing.tenancy.scope import EVERYTHING, within

QUESTION = "Назови три темы для публикации о пользе утренней зарядки и объясни выбор одной фразой."
POST = (
    "Утренняя зарядка за семь минут: потягивание, приседания, планка. По нашим подсчётам, её делает каждый третий "
    "подписчик. Промокод УТРО даёт скидку 20 % на коврик до конца недели."
)
COMMENTS = ("Делаю вторую неделю, спина не болит!", "А коленям это не вредно?", "Планка по утрам — лучшее открытие.")


def chat_streamed(openai: OpenAI) -> None:
    stream = openai.chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    for _ in stream:
        pass


def embeddings(openai: OpenAI) -> None:
    openai.embeddings.create(model="text-embedding-3-small", input=[QUESTION, QUESTION[::-1]])


def message_streamed(anthropic: Anthropic) -> None:
    with anthropic.messages.stream(
        model="claude-haiku-4-5", max_tokens=300, messages=[{"role": "user", "content": QUESTION}]
    ) as stream:
        stream.until_done()


CALLS: list[tuple[str, str, Callable[[Any], None]]] = [
    ("OpenAI", "custom_analysis", chat_streamed),
    ("OpenAI", "custom_analysis", embeddings),
    ("Anthropic", "custom_analysis", message_streamed),
]
"""Calls without an agent: provider, request type, call."""

INPUTS: dict[str, dict[str, Any]] = {
    "community_concierge": {"comment": COMMENTS[1], "platform": "telegram"},
    "legal_guard": {},
    "multimedia_producer": {"style": "акварель", "quality": "low"},
    "repurpose": {"platform": "vk"},
    "research_factcheck": {"sources": [{"title": "Опрос подписчиков", "text": "Зарядку делают 34 % опрошенных."}]},
    "trends_scout": {"posts": [{"text": comment} for comment in COMMENTS], "platform": "telegram"},
}
"""The input of each agent beside the text and title of the organisation's content piece."""


class Command(PrintableCommand):
    help = "Let every agent work for every demo organisation, make a few SDK calls, and say where to see them."

    def handle(self, *args: Any, **options: Any) -> None:
        with within(EVERYTHING):
            accounts = list(_accounts())
            newest = UsageRecord.objects.order_by("-id").values_list("id", flat=True).first() or 0
        if not accounts:
            raise CommandError("There is no demo organisation yet: run `make run`, or `manage.py seed_demo`, first.")
        for name, destination in destinations().items():
            self.stdout.write(f"{name}: calls go to {destination}")
        clients: dict[str, Any] = {}
        try:
            clients = {"OpenAI": OpenAI(), "Anthropic": Anthropic()}
        except Exception as error:
            raise CommandError(f"{error} Set the provider's key, or DEBUG=1 to call the simulator.") from error
        with collected() as events:
            for account, user_id in tqdm(accounts, desc="Organisations", unit="", disable=None):
                for agent_id in INPUTS:
                    _work(agent_id, account, user_id)
                for provider, request_type, call in CALLS:
                    with usage_context(org=account.org, user=user_id, request_type=request_type):
                        call(clients[provider])
        drain.drain_all(Outbox(conf.OUTBOX_PATH))
        with within(EVERYTHING):
            recorded = UsageRecord.objects.filter(id__gt=newest).count()
        self.stdout.write(f"Made {len(events)} calls for {len(accounts)} organisations: {recorded} new records.")
        self.stdout.write("See them on /superadmin/ai-costs as a superadmin, on /usage/ as an owner or member.")


def _accounts() -> Iterator[tuple[run.Account, int | None]]:
    """Each demo organisation that still calls, with a content piece, and the first of its people."""
    slugs = [organization.slug for organization in demo_data.ORGANIZATIONS if not organization.stopped_days_ago]
    for org in Organization.objects.filter(slug__in=slugs):
        piece, _ = ContentPiece.objects.get_or_create(
            org=org,
            title="Зарядка за семь минут",
            defaults={"text": POST, "platform": "telegram", "content_type": "post"},
        )
        person = Membership.objects.filter(org=org).order_by("pk").first()
        yield run.Account(org, piece), None if person is None else person.user_id


def _work(agent_id: str, account: run.Account, user_id: int | None) -> None:
    agent = agents()[agent_id]
    given = agent.input.model_validate(run.filled_in(agent, INPUTS[agent_id], account.piece))
    try:
        run.run(agent, given, account, user_id=user_id)
    except run.UnfinishedRunError as unfinished:
        raise CommandError(f"{agent_id}: {unfinished.__cause__}") from unfinished
