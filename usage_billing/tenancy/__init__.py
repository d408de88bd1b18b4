"""Decides who may see which rows, and lets PostgreSQL enforce it by roles and row-level security.

Roles, grants and policies are derived from the models. `secure_database` and each later `migrate` update them.
"""
