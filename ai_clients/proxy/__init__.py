"""A pass-through proxy to the providers: a program of any language is recorded by another base URL and key."""
