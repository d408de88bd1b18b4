"""The SDKs' own test suites, which their source distributions contain, pass with our clients as with the official ones.

Each suite runs once with ours. The tests that fail run again with the official clients, alone: what fails there too
fails for reasons of its own. The others run again with ours, because some depend on chance.
`make suites` runs this; it takes about ten minutes on two cores.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sdk_suites import mock_api
from usage_billing.recording.outbox import Outbox

pytestmark = [
    pytest.mark.skipif(not os.environ.get("SDK_SUITES"), reason="takes ten minutes: `make suites`"),
    pytest.mark.timeout(3600),
]

HERE = Path(__file__).parent
CLIENTS = ["recording", *(["instrumented"] if os.environ.get("SDK_SUITES") == "all" else [])]
"""In CI with our classes; `SDK_SUITES=all` also with the official ones and `instrument()`."""
LEAST_PASSED = {"openai": 19_000, "anthropic": 5_000}
"""A suite that runs fewer tests has not run."""

_WRAPPED_ERRORS = [
    f"tests/test_streaming.py::test_request_errors_are_wrapped[httpx2-{error}-{delivered}-first-event-{kind}]"
    for error in (
        "ReadTimeout-APITimeoutError",
        "RemoteProtocolError-APIConnectionError",
        "DecodingError-APIConnectionError",
        "SSLError-APIConnectionError",
        "EndOfStream-APIConnectionError",
    )
    for delivered in ("before", "after")
    for kind in ("sync", "async")
]
_LEAKS = {
    sdk: [
        f"tests/test_client.py::{kind}::test_retrying_{error}_errors_doesnt_leak"
        for kind in kinds
        for error in ("status", "timeout")
    ]
    for sdk, kinds in (
        ("openai", ("TestOpenAI", "TestAsyncOpenAI")),
        ("anthropic", ("TestAnthropic", "TestAsyncAnthropic")),
    )
}
_WORKLOAD_IDENTITY = [
    f"tests/test_x509_workload_identity{test}"
    for kind in ("sync", "async")
    for test in (
        f".py::test_{kind}_x509_does_not_mutate_or_independently_close_caller_transport",
        f"_transport.py::test_{kind}_x509_preserves_mounted_transports_and_restores_caller_configuration",
    )
]
_MODULE_CLIENTS = [
    *(
        f"tests/test_module_client.py::test_azure_module_explicit_auth_precedence[{mode}-{forced}]"
        for mode in ("api_key", "azure_ad_token", "azure_ad_token_provider", "environment")
        for forced in (False, True)
    ),
    "tests/test_module_client.py::test_azure_azure_ad_token_provider_version_and_endpoint_env",
    "tests/test_module_client.py::test_azure_azure_ad_token_version_and_endpoint_env",
]
DIFFERENCES: dict[str, dict[str, str]] = {
    "openai": {
        # The transport gets a copy of the caller's request, which asks for usage; the error has the caller's own.
        **dict.fromkeys(_WRAPPED_ERRORS, "error.request is the request that a mock transport got"),
        **dict.fromkeys([*_LEAKS["openai"], *_WORKLOAD_IDENTITY], "httpx2.Client._transport"),
    },
    "anthropic": dict.fromkeys(_LEAKS["anthropic"], "httpx2.Client._transport"),
}
"""Tests that fail while calls are recorded, by node id, and the private attribute or identity that each looks at."""

OF_CLASSES: dict[str, dict[str, str]] = {
    "openai": dict.fromkeys(
        _MODULE_CLIENTS, "the module's own client is no instance of a class that takes another's name"
    ),
    "anthropic": {},
}
"""Tests that fail with our classes in place of the official ones, and not with `instrument()`."""

TRIES = 3
"""How often a test that fails with our classes alone is run with them again. Some wait two seconds for a process."""

SECRETS = (b"My API Key", b"My Admin API Key", b"my-anthropic-api-key", b"What's the weather like in SF?")
"""Keys and a prompt that the suites send."""


@dataclass(frozen=True)
class Suite:
    """A suite in `folder`, run by `python` against the mock server at `url`."""

    sdk: str
    folder: Path
    python: Path
    url: str
    outbox: Path

    def run(self, clients: str, tests: Sequence[str] = ()) -> tuple[list[str], int]:
        """Run the whole suite, or some of its tests. Returns the node ids of those that fail, and how many pass."""
        report, chosen = self.outbox.parent / "report.json", self.outbox.parent / "tests"
        report.unlink(missing_ok=True)
        chosen.write_text("\n".join(tests))
        # The options that the suite has in its pyproject.toml, but for the number of processes.
        alias = ["-p", "tests._alias_httpx"] if self.sdk == "anthropic" else []
        command: list[str | Path] = [self.python, "-m", "pytest", "-q", "--tb=short", "-o", "addopts=", *alias]
        command += ["-p", "recorded_clients", "-p", "no:django", "-p", "no:cacheprovider"]
        command += [f"@{chosen}"] if tests else ["-n", "2"]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.outbox.parent),
            "PYTHONPATH": f"{HERE / 'plugin'}:{HERE.parents[1]}",
            "TEST_API_BASE_URL": self.url,
            "AI_COSTS_OUTBOX_PATH": str(self.outbox),
            "SDK_SUITE_SDK": self.sdk,
            "SDK_SUITE_CLIENTS": clients,
            "SDK_SUITE_REPORT": str(report),
        }
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert report.exists(), done.stdout[-3000:]
        found = json.loads(report.read_text())
        return found["failed"], found["passed"]


@pytest.fixture(scope="module")
def suite_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the packages of this environment and those that only the suites import."""
    folder = tmp_path_factory.mktemp("suites") / "venv"
    _checked(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    (site_packages,) = folder.glob("lib/python*/site-packages")
    packages = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site_packages / "third_party.pth").write_text("\n".join(packages))
    _downloaded(python, "install", "-r", HERE / "requirements.txt")
    return python


@pytest.fixture(params=["openai", "anthropic"])
def suite(request: pytest.FixtureRequest, suite_python: Path, tmp_path: Path) -> Iterator[Suite]:
    sdk = request.param
    version = importlib.metadata.version(sdk)
    _downloaded(suite_python, "download", "--no-binary=:all:", "--no-deps", f"--dest={tmp_path}", f"{sdk}=={version}")
    with tarfile.open(tmp_path / f"{sdk}-{version}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    with mock_api.running(sdk) as url:
        yield Suite(sdk, tmp_path / f"{sdk}-{version}", suite_python, url, tmp_path / "outbox" / "outbox")


@pytest.mark.parametrize("clients", CLIENTS)
def test_suite_passes_as_with_the_official_clients(suite: Suite, clients: str) -> None:
    suite.outbox.parent.mkdir()
    failed, passed = suite.run(clients)
    own_fault = set(suite.run("official", failed)[0]) if failed else set()
    suspects = [test for test in failed if test not in own_fault]
    for _ in range(TRIES):
        suspects = suite.run(clients, suspects)[0] if suspects else []
    named = DIFFERENCES[suite.sdk] | (OF_CLASSES[suite.sdk] if clients == "recording" else {})
    assert set(suspects) == set(named)
    assert passed >= LEAST_PASSED[suite.sdk]

    outbox = Outbox(suite.outbox)
    events = [body for _, body in outbox.read(100_000)]
    outbox.close()
    assert len(events) > 100
    assert not [event for event in events if any(secret in event for secret in SECRETS)]


def _downloaded(python: Path, *arguments: str | Path) -> None:
    """Run pip; skip the test if it finds no package index."""
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries=1", *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and any(sign in done.stderr for sign in ("No matching distribution", "Connection", "Retrying")):
        pytest.skip(f"needs a package index: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr


def _checked(*command: str | Path) -> None:
    subprocess.run(command, cwd="/", check=True)
