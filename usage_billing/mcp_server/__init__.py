"""A server of the Model Context Protocol: a coding assistant asks the reports what calls cost."""
