"""Authentication: log-ins and how many of them fail, sessions, passwords."""
