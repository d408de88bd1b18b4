"""How the service says how it is, to people and to programs."""
