"""The JSON API of the callers."""
