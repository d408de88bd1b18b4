"""The answer's body on its way to the caller: what is kept of it, in a bounded number of bytes."""
