"""A caller that keeps its own account of the calls it began and the answers it got.

Every line of the account is one `write` to an append-only file, so it survives a kill of the process. The caller writes
`begun` before each call. After the SDK has returned, it writes the answer's id and the tokens that it counted itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ai_clients import Anthropic, OpenAI
from ai_clients.simulator import tokens

OPENAI_MODEL, ANTHROPIC_MODEL = "gpt-4.1-mini", "claude-haiku-4-5"


class Answer(NamedTuple):
    request_id: str
    prompt: int
    completion: int


@dataclass(frozen=True)
class Account:
    """The files in `folder`, one per process."""

    folder: Path

    def write(self, line: str) -> None:
        file = os.open(self.folder / str(os.getpid()), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)

    @contextmanager
    def call(self) -> Iterator[Callable[[Answer], None]]:
        self.write("begun")
        yield lambda answer: self.write(f"{answer.request_id} {answer.prompt} {answer.completion}")

    def lines(self) -> Iterator[str]:
        for path in sorted(self.folder.iterdir()):
            yield from path.read_text().splitlines()

    def begun(self) -> int:
        return sum(line == "begun" for line in self.lines())

    def answers(self) -> list[Answer]:
        fields = (line.split() for line in self.lines() if line != "begun")
        return [Answer(request_id, int(prompt), int(completion)) for request_id, prompt, completion in fields]


class Caller:
    """Makes four kinds of calls in turn: OpenAI's chat and Anthropic's messages, plain and streamed."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.openai, self.anthropic = OpenAI(max_retries=0), Anthropic(max_retries=0)
        self._kinds = (self._chat, self._message, self._chat_stream, self._message_stream)

    def call(self, number: int) -> None:
        with self.account.call() as returned:
            returned(self._kinds[number % 4](f"What does it cost? {'Really? ' * (number % 13)}{number}"))

    def _chat(self, prompt: str) -> Answer:
        completion = self.openai.chat.completions.create(**chat(prompt))
        return counted(completion.id, prompt, completion.choices[0].message.content or "")

    def _chat_stream(self, prompt: str) -> Answer:
        chunks = list(self.openai.chat.completions.create(**chat(prompt), stream=True))
        return counted(chunks[0].id, prompt, "".join(chunk.choices[0].delta.content or "" for chunk in chunks))

    def _message(self, prompt: str) -> Answer:
        message: Any = self.anthropic.messages.create(**_message(prompt))
        return counted(message.id, prompt, message.content[0].text)

    def _message_stream(self, prompt: str) -> Answer:
        with self.anthropic.messages.stream(**_message(prompt)) as stream:
            message: Any = stream.get_final_message()
        return counted(message.id, prompt, message.content[0].text)


def chat(prompt: str) -> dict[str, Any]:
    return {"model": OPENAI_MODEL, "messages": [{"role": "user", "content": prompt}]}


def _message(prompt: str) -> dict[str, Any]:
    return {"model": ANTHROPIC_MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": prompt}]}


def counted(request_id: str, prompt: str, text: str) -> Answer:
    return Answer(request_id, tokens.count(prompt) + tokens.MESSAGE_TOKENS, tokens.count(text))


def make_calls(account: Path, org: int, calls: int, threads: int = 1, pause_s: float = 0.0) -> None:
    """Make `calls` calls in each thread; fewer if the process is killed."""
    from usage_billing import usage_context

    caller, stop = Caller(Account(account)), threading.Event()

    def run(first: int) -> None:
        with usage_context(org=org, agent_id="reliability"):
            for number in range(first, first + calls):
                caller.call(number)
                if pause_s:
                    stop.wait(pause_s)

    runners = [threading.Thread(target=run, args=(index * calls,)) for index in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
