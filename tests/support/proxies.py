"""Runs Debian's nginx and Caddy with the files of `deploy/`, but on other ports and with a certificate for tests."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.postgres import free_port
from tests.support.reliability.world import ROOT, wait_until

HOST = "costs.example.com"
"""The host name of the service in the files of `deploy/`."""


@dataclass(frozen=True)
class Certificate:
    file: Path
    key: Path

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.file))


def certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
            "-keyout", made.key, "-out", made.file,
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return made


def replaced(text: str, changes: dict[str, str]) -> str:
    """Replace each of these parts of the text. Fails if one is missing."""
    for part, other in changes.items():
        assert part in text, part
        text = text.replace(part, other)
    return text


@contextmanager
def nginx(upstream: int, made: Certificate, folder: Path) -> Iterator[int]:
    """Run nginx with `deploy/nginx.conf.example` inside Debian's nginx.conf. Yields its port.

    upstream: the port of the web, and of the proxy before the providers.
    """
    port = free_port()
    site = replaced(
        (ROOT / "deploy" / "nginx.conf.example").read_text(),
        {
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "    listen [::]:80;\n": "",
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            "    listen [::]:443 ssl;\n": "",
            f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(made.file),
            f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(made.key),
            "127.0.0.1:8000": f"127.0.0.1:{upstream}",
            "127.0.0.1:8001": f"127.0.0.1:{upstream}",
        },
    )
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nworker_processes auto;\npid {folder}/pid;\nerror_log {folder}/nginx.log;\n"
        # Under root, nginx runs its workers as a user who may not enter pytest's folders.
        "user root;\n"
        f"events {{ worker_connections 768; }}\nhttp {{\naccess_log off;\n{temporary}{site}}}\n"
    )
    command = ["nginx", "-e", str(folder / "nginx.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with _running(command, {}, folder / "nginx.out", port):
        yield port


@contextmanager
def caddy(upstream: int, made: Certificate, folder: Path) -> Iterator[int]:
    """Run Caddy with `deploy/Caddyfile.example`. Yields its port."""
    port = free_port()
    site = replaced(
        (ROOT / "deploy" / "Caddyfile.example").read_text(),
        {
            "\n{\n\tservers {": "\n{\n\tadmin off\n\tauto_https disable_redirects\n\tservers {",
            f"\n{HOST} {{\n": f"\nhttps://{HOST}:{port} {{\n\tbind 127.0.0.1\n\ttls {made.file} {made.key}\n",
            "127.0.0.1:8000": f"127.0.0.1:{upstream}",
            "127.0.0.1:8001": f"127.0.0.1:{upstream}",
        },
    )
    (folder / "Caddyfile").write_text(site)
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    with _running(command, {"HOME": str(folder)}, folder / "caddy.out", port):
        yield port


Proxy = Callable[[int, Certificate, Path], AbstractContextManager[int]]
PROXIES: dict[str, Proxy] = {"nginx": nginx, "caddy": caddy}


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")


@contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path, port: int) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=out, stderr=out)
        try:
            wait_until(lambda: process.poll() is not None or _listens(port))
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()  # Caddy waits for open connections forever
                process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
