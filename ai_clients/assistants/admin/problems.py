"""Shows the errors of a call that a button of the admin made as messages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib import messages
from django.http import HttpRequest

from ai_clients.assistants.calls.provider_errors import provider_problem
from ai_clients.assistants.calls.structured import AnswerError
from usage_billing.auth.run_throttling import TooManyRunsError

logger = logging.getLogger(__name__)


@contextmanager
def problems_shown(request: HttpRequest) -> Iterator[None]:
    """Turn a reached limit of runs, a provider's failure and a useless answer into a message; raise other errors."""
    try:
        yield
    except (AnswerError, TooManyRunsError) as error:
        messages.error(request, str(error))
    except Exception as error:
        problem = provider_problem(error)
        if problem is None:
            raise
        logger.warning("A call of the AI provider failed: %s", type(error).__name__)
        messages.error(request, problem.message)
