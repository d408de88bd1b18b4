"""A central bank on loopback, with real HTTP, windows-1251 and any answer that a test sets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

Handler = BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class Bank:
    """Answers every request with `answer`. `asked` holds path and query of each request."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.port = server.server_port
        self.url = f"http://127.0.0.1:{self.port}/scripts"
        self.answer: Answer = body(rates())
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.headers: list[dict[str, str]] = []


def record(day: str, value: str = "80,1234", nominal: str = "1", code: str = "R01235") -> str:
    return (
        f'<Record Date="{day}" Id="{code}"><Nominal>{nominal}</Nominal><Value>{value}</Value>'
        f"<VunitRate>{value}</VunitRate></Record>"
    )


def rates(*records: str, code: str = "R01235") -> bytes:
    """Return an answer of XML_dynamic.asp. It contains a Russian name, so that the encoding matters."""
    text = (
        '<?xml version="1.0" encoding="windows-1251"?>'
        f'<ValCurs ID="{code}" DateRange1="01.11.2026" DateRange2="30.11.2026" name="Динамика курса">'
        f"{''.join(records)}</ValCurs>"
    )
    return text.encode("cp1251")


def body(content: bytes, status: int = 200, **headers: str) -> Answer:
    """Return an answer with this body; `Content_Type="…"` becomes the header Content-Type."""

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        named = {"Content_Type": "application/xml; charset=windows-1251", "Content_Length": str(len(content))} | headers
        for name, value in named.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def in_turn(*answers: Answer) -> Answer:
    waiting = list(answers)
    return lambda handler: waiting.pop(0)(handler)


@contextmanager
def running() -> Iterator[Bank]:
    class BanksHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            bank.asked.append((address.path, dict(parse_qsl(address.query))))
            bank.headers.append({name.lower(): value for name, value in self.headers.items()})
            # The client closes the connection when it refuses an answer.
            with suppress(ConnectionError):
                bank.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), BanksHandler) as server:
        bank = Bank(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield bank
        finally:
            server.shutdown()
            thread.join()
