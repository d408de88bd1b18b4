"""Every priced case of these tests is a case of `cost_lines` too."""

import pytest

from tests.support.explained_costs import explained_costs

__all__ = ["explained_costs"]


@pytest.fixture(autouse=True)
def _explained(explained_costs: None) -> None:
    """Explain each cost line by line."""
