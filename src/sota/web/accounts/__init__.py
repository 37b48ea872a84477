"""Accounts: people with passwords and programs with tokens, each with one role."""
