"""`python -m bench.proxy [--litellm VENV] [--calls N]`: the proxy beside LiteLLM's, before the same provider.

All on loopback, in one run, in turns: a call to the provider itself, one through our proxy, one through LiteLLM's. VENV
is an environment with `litellm[proxy]`; it takes 0.8 GB, so no make target installs it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil

from bench.calls import PLAIN, STREAM
from bench.table import Row, Section, render

KEY = "sk-litellm-of-the-benchmark"
SEED = """
import django; django.setup()
from tests.support.proxied import save_keys, token
from usage_billing.models import Organization
save_keys()
print(token(Organization.objects.create(name="Bench", slug="bench")))
"""
LITELLM = """
model_list:
  - model_name: gpt-4.1-mini
    litellm_params: {{model: openai/gpt-4.1-mini, api_base: "{url}", api_key: sk-of-nobody}}
general_settings: {{master_key: {key}}}
litellm_settings: {{drop_params: true}}
"""
PORTS = {"ours": 18431, "LiteLLM": 18432}
TOGETHER = 16


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], url: str = "") -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.DEVNULL if url else subprocess.PIPE,
        stderr=subprocess.DEVNULL if url else None,
    ) as process:  # fmt: skip
        try:
            until = time.monotonic() + 180
            while url and not _answers(url):
                assert process.poll() is None, f"{command[0]} did not start"
                assert time.monotonic() < until
                time.sleep(0.2)
            yield process
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code < 500
    except httpx2.TransportError:
        return False


@contextlib.contextmanager
def ours(provider: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Our proxy in one process, recording into its outbox. Yields its base URL and a token."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "0", "AI_SIMULATOR": "0", "SECRET_KEY": "s" * 50,
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3", "USAGE_OUTBOX_PATH": str(folder / "outbox" / "outbox"),
        "USAGE_DRAIN": "off", "API_RATE_TOKEN": "100000/sec", "PROXY_URLS": f"openai={provider.removesuffix('/v1')}",
    }  # fmt: skip
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=environment, check=True)
    seeded = subprocess.run([sys.executable, "-c", SEED], env=environment, check=True, capture_output=True, text=True)
    origin = f"http://127.0.0.1:{PORTS['ours']}"
    command = [
        sys.executable, "-m", "uvicorn", "config.asgi:application", f"--port={PORTS['ours']}", "--ws=none",
        "--no-access-log", "--no-server-header", "--no-date-header",
    ]  # fmt: skip
    with running(command, environment, f"{origin}/proxy/"):
        yield f"{origin}/proxy/openai/v1", seeded.stdout.strip()


@contextlib.contextmanager
def litellm(provider: str, folder: Path, venv: Path) -> Iterator[tuple[str, str]]:
    """LiteLLM's proxy in one process, without a database: it records nothing."""
    (folder / "litellm.yaml").write_text(LITELLM.format(url=provider, key=KEY))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    port = str(PORTS["LiteLLM"])
    command = [str(venv / "bin" / "litellm"), "--config", str(folder / "litellm.yaml"), "--port", port]
    with running([*command, "--num_workers", "1"], environment, f"http://127.0.0.1:{port}/health/liveliness"):
        yield f"http://127.0.0.1:{port}/v1", KEY


async def one(client: httpx2.AsyncClient, base: str, key: str, asked: object) -> tuple[float, float]:
    """Milliseconds of a call, and until its first chunk."""
    began = time.perf_counter()
    first = 0.0
    async with client.stream(
        "POST", f"{base}/chat/completions", json=asked, headers={"authorization": f"Bearer {key}"}
    ) as response:
        assert response.status_code == 200, await response.aread()
        async for _ in response.aiter_raw():
            first = first or time.perf_counter() - began
    return (time.perf_counter() - began) * 1000, first * 1000


def cpu_s(name: str) -> float:
    """CPU seconds of the process that listens on the way's port."""
    return sum(
        sum(process.cpu_times()[:2])
        for process in psutil.Process().children(recursive=True)
        if any(connection.laddr.port == PORTS[name] for connection in process.net_connections() if connection.laddr)
    )


async def measured(ways: dict[str, tuple[str, str]], calls: int) -> dict[str, list[float]]:
    """Name → figure of each way."""
    figures: dict[str, list[float]] = {}
    async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=TOGETHER)) as client:
        for kind, asked in (("plain", PLAIN), ("stream", STREAM)):
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for number in range(calls + 20):
                for name, (base, key) in ways.items():
                    sample = await one(client, base, key, asked)
                    if number >= 20:
                        taken[name].append(sample)
            for name in ways:
                for what, position in (("whole", 0), ("first chunk", 1)):
                    values = [sample[position] for sample in taken[name]]
                    figures[f"{kind}, {what}, p50: {name}"] = [statistics.median(values)]
                    figures[f"{kind}, {what}, p99: {name}"] = [statistics.quantiles(values, n=100)[98]]
            for name, (base, key) in ways.items():
                cpu, began = cpu_s(name) if name in PORTS else 0.0, time.perf_counter()

                async def some(base: str = base, key: str = key, asked: object = asked) -> None:
                    for _ in range(calls // TOGETHER):
                        await one(client, base, key, asked)

                await asyncio.gather(*(some() for _ in range(TOGETHER)))
                made = calls // TOGETHER * TOGETHER
                rate = made / (time.perf_counter() - began)
                if name in PORTS:
                    figures[f"{kind}, CPU of the proxy a call: {name}"] = [(cpu_s(name) - cpu) / made * 1000]
                figures[f"{kind}, calls a second, {TOGETHER} at once: {name}"] = [rate]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.proxy", description=__doc__)
    parser.add_argument("--litellm", type=Path, help="an environment with litellm[proxy]")
    parser.add_argument("--calls", type=int, default=500)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = stack.enter_context(running([sys.executable, "-m", "bench.provider"], dict(os.environ)))
        assert process.stdout is not None
        provider = process.stdout.readline().strip()
        ways = {"none": (provider, "sk"), "ours": stack.enter_context(ours(provider, folder))}
        if options.litellm is not None:
            ways["LiteLLM"] = stack.enter_context(litellm(provider, folder, options.litellm))
        figures = asyncio.run(measured(ways, options.calls))
    rows = [Row(what, rounds, "" if "second" in what else "ms", digits=2) for what, rounds in figures.items()]
    remark = f"{options.calls} calls of each, in turns; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(render([Section("The proxy", rows, [remark])]))


if __name__ == "__main__":
    main()
