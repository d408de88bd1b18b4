"""An MCP server over the read API: coding assistants ask it what AI calls cost. It reads, and changes nothing."""

from __future__ import annotations

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

from usage_billing.mcp_server.api_client import ApiClient, from_environment
from usage_billing.mcp_server.tools import Tools

INSTRUCTIONS = """\
What AI calls cost, as AI Costs recorded and priced them. Everything is limited to what the token may see: usually one
organisation. Answer with `units` in mind: amounts are decimal strings, null is unknown and never zero, and
`unpriced_count` tells how many calls a cost leaves out. For "this month", use `summary`, or `period` with the month's
first day as `from_date`."""


def server(api: ApiClient) -> MCPServer:
    """Return the server with its tools."""
    made = MCPServer(
        "ai-costs",
        title="AI Costs",
        instructions=INSTRUCTIONS,
        log_level="WARNING",
    )
    tools = Tools(api)
    for tool in (tools.summary, tools.history, tools.breakdown, tools.calls, tools.call, tools.budgets):
        made.add_tool(tool, annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
    return made


def serve() -> None:
    """Serve on standard input and output until the client closes them. Raises `ConfigurationError`."""
    api = from_environment()
    try:
        server(api).run("stdio")
    finally:
        api.close()
