"""The agents over HTTP."""
