"""Authentication: tokens, sessions and throttling."""
