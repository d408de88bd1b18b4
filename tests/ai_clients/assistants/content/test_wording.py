"""Words made fit for one line."""

import pytest

from ai_clients.assistants.content.wording import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  садоводство ", "садоводство"),
        ("two\r\nlines\tof  it", "two lines of it"),
        ("nul\x00 and \x1b[31mred", "nul and [31mred"),
        ("lone \ud800 half", "lone half"),
        ("x" * 10, "x" * 10),
        ("x" * 11, "x" * 9 + "…"),
        ("\u200b\n", ""),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text, 10 if text.startswith("x") else 100) == line
