"""The answer's body on its way to the caller."""
