"""A provider simulator: a real HTTP server on loopback that speaks the OpenAI and Anthropic wire formats.

The official SDKs work against it unchanged, so that a newcomer without provider keys, and every test,
makes real calls that cost nothing. Usage follows the rule written at the top of `tokens.py`.
"""

from ai_clients.simulator.server import Simulator, app, ensure_running, serve

__all__ = ["Simulator", "app", "ensure_running", "serve"]
