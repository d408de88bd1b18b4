"""`manage.py run_agent <id> --input FILE|-`: runs an agent, prints its output and its cost."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pydantic
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from ai_clients.assistants.agents import agents
from ai_clients.assistants.api.serializers import EstimateSerializer
from ai_clients.assistants.runs import run as runs
from ai_clients.assistants.runs.agent import AnyAgent
from ai_clients.assistants.runs.input_errors import by_field
from usage_billing.management.printable_command import PrintableCommand
from usage_billing.tenancy.scope import EVERYTHING, scope_of, within


class Command(PrintableCommand):
    help = "Let an agent work on a JSON input; print its result and cost as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("agent", metavar="AGENT", help="which one: " + ", ".join(agents()))
        parser.add_argument(
            "--input", metavar="FILE", help="a JSON object, as the agent takes it; - reads it from the standard input"
        )
        parser.add_argument("--org", metavar="SLUG", help="whom to charge, if the content or the user does not say it")
        parser.add_argument("--user", metavar="NAME", help="on whose behalf; nobody's, if left out")
        parser.add_argument("--content", type=uuid.UUID, metavar="UUID", help="the content piece to work on")
        parser.add_argument("--workflow", default="", metavar="ID", help="the job that this is a part of")

    def handle(self, *args: Any, **options: Any) -> None:
        agent = agents().get(options["agent"])
        if agent is None:
            raise CommandError(f"There is no agent {options['agent']}. There are {', '.join(agents())}.")
        given = _read(options["input"])
        user = _user(options["user"])
        account = _account(user, options)
        ready = _input(agent, runs.filled_in(agent, given, account.piece))
        try:
            run = runs.run(agent, ready, account, user_id=user and user.pk, workflow_id=options["workflow"])
        except runs.UnfinishedRunError as unfinished:
            cost = json.dumps(EstimateSerializer(unfinished.spent).data)
            raise CommandError(f"{unfinished.__cause__} It cost {cost}.") from unfinished
        answer = {
            "agent_id": agent.id,
            "org": account.org.slug,
            "workflow_id": run.workflow_id,
            "output": run.made.model_dump(mode="json"),
            "cost": EstimateSerializer(run.spent).data,
        }
        for line in json.dumps(answer, ensure_ascii=False, indent=2).split("\n"):
            self.stdout.write(line)


def _read(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        given = json.loads(sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"The input cannot be read: {error}") from error
    except ValueError as error:
        raise CommandError(f"The input is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise CommandError("The input must be a JSON object.")
    return given


def _user(name: str | None) -> Any:
    if name is None:
        return None
    users = get_user_model()
    try:
        return users._default_manager.get_by_natural_key(name)
    except users.DoesNotExist:
        raise CommandError(f"There is no user {name}.") from None


def _account(user: Any, options: dict[str, Any]) -> runs.Account:
    """The account, found as the API does. Without a user the command may charge any organisation."""
    with within(EVERYTHING if user is None else scope_of(user)) as scope:
        try:
            return runs.account(scope, org=options["org"], content_id=options["content"])
        except runs.OrganizationNotFoundError:
            raise CommandError(f"There is no organisation {options['org']} for this, or it is closed.") from None
        except runs.ContentNotFoundError:
            raise CommandError(f"There is no content piece {options['content']} for this.") from None
        except runs.OrganizationRequiredError:
            raise CommandError("Say with --org which organisation is charged.") from None


def _input(agent: AnyAgent, given: dict[str, Any]) -> Any:
    try:
        return agent.input.model_validate(given)
    except pydantic.ValidationError as error:
        lines = [f"{field}: {' '.join(texts)}" for field, texts in by_field(error).items()]
        raise CommandError(f"The input is not what the agent takes. {' '.join(lines)}") from None
