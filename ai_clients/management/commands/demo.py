"""`manage.py demo`: a handful of real SDK calls for every demo organisation."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from ai_clients import Anthropic, OpenAI
from ai_clients.connection import destinations
from usage_billing import demo_data, usage_context
from usage_billing.access import EVERYTHING, within
from usage_billing.models import Organization, UsageRecord
from usage_billing.recording import drain
from usage_billing.recording.outbox import Outbox

QUESTION = "Назови три темы для публикации о пользе утренней зарядки и объясни выбор одной фразой."


def chat(openai: OpenAI) -> None:
    openai.chat.completions.create(model="gpt-4.1-mini", messages=[{"role": "user", "content": QUESTION}])


def chat_streamed(openai: OpenAI) -> None:
    stream = openai.chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    for _ in stream:
        pass


def responses(openai: OpenAI) -> None:
    openai.responses.create(model="gpt-5-mini", input=QUESTION)


def embeddings(openai: OpenAI) -> None:
    openai.embeddings.create(model="text-embedding-3-small", input=[QUESTION, QUESTION[::-1]])


def image(openai: OpenAI) -> None:
    openai.images.generate(model="gpt-image-1-mini", prompt="Утренняя зарядка, акварель", quality="low")


def message(anthropic: Anthropic) -> None:
    anthropic.messages.create(
        model="claude-haiku-4-5", max_tokens=300, messages=[{"role": "user", "content": QUESTION}]
    )


def message_streamed(anthropic: Anthropic) -> None:
    with anthropic.messages.stream(
        model="claude-haiku-4-5", max_tokens=300, messages=[{"role": "user", "content": QUESTION}]
    ) as stream:
        stream.until_done()


CALLS: list[tuple[str, str, str, Callable[[Any], None]]] = [
    ("OpenAI", "community_concierge", "comment_reply", chat),
    ("OpenAI", "community_concierge", "comment_reply", chat_streamed),
    ("OpenAI", "trends_scout", "trend_report", responses),
    ("OpenAI", "trends_scout", "trend_report", embeddings),
    ("OpenAI", "multimedia_producer", "image_generation", image),
    ("Anthropic", "legal_guard", "legal_check", message),
    ("Anthropic", "repurpose", "repurpose", message_streamed),
]
"""Provider, agent, request type, call."""


class Command(BaseCommand):
    help = "Make a few calls through the official SDKs for every demo organisation, and say where to see them."

    def handle(self, *args: Any, **options: Any) -> None:
        slugs = [organization.slug for organization in demo_data.ORGANIZATIONS]
        with within(EVERYTHING):
            orgs = list(Organization.objects.filter(slug__in=slugs).prefetch_related("memberships"))
            newest = UsageRecord.objects.order_by("-id").values_list("id", flat=True).first() or 0
        if not orgs:
            raise CommandError("There is no demo organisation yet: run `make run`, or `manage.py seed_demo`, first.")
        for name, destination in destinations().items():
            self.stdout.write(f"{name}: calls go to {destination}")
        clients: dict[str, Any] = {}
        try:
            clients = {"OpenAI": OpenAI(), "Anthropic": Anthropic()}
        except Exception as error:
            raise CommandError(f"{error}\nSet the provider's key, or DEBUG=1 to call the simulator.") from error
        jobs = [(org, *call) for org in orgs for call in CALLS]
        for org, provider, agent_id, request_type, call in tqdm(jobs, desc="Calls", unit=" call", disable=None):
            owner = min(org.memberships.all(), key=lambda membership: membership.pk, default=None)
            with usage_context(org=org, user=owner and owner.user_id, agent_id=agent_id, request_type=request_type):
                call(clients[provider])
        drain.drain_all(Outbox(settings.USAGE_OUTBOX_PATH))
        with within(EVERYTHING):
            recorded = UsageRecord.objects.filter(id__gt=newest).count()
        self.stdout.write(f"Made {len(jobs)} calls for {len(orgs)} organisations: {recorded} new records.")
        self.stdout.write("See them on /superadmin/ai-costs as a superadmin, on /usage/ as an owner or member.")
