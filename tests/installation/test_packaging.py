"""The package's metadata: a small base, everything else in extras."""

from __future__ import annotations

from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement


def test_the_wheel_has_type_markers_and_no_simulator(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {"usage_billing/py.typed", "ai_clients/py.typed"} <= set(names)
    assert "ai_clients/transport.py" in names
    assert [name for name in names if "simulator" in name] == []


def test_recording_alone_needs_django_the_sdks_and_six_packages(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(path).decode())
    requirements = [Requirement(each) for each in metadata.get_all("Requires-Dist", [])]
    base = {each.name for each in requirements if not each.marker or each.marker.evaluate({"extra": ""})}
    of_the_sdks = {"httpx2", "httpcore2", "anyio"}
    six = {"cryptography", "msgspec", "genai-prices", "tinytag", "tqdm", "tzdata"}
    assert base == {"Django", "openai", "anthropic", *of_the_sdks, *six}
    assert metadata["License-Expression"] == "MIT"
    service = {each.name for each in requirements if each.marker and each.marker.evaluate({"extra": "service"})}
    assert service == {"django-ai-costs"}
