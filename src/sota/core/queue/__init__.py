"""Queues of vehicles: their order and history, and how updates are cancelled, stopped and tried again."""
