"""What every process has: clock, logs, metrics, settings, background tasks, start and end."""
