"""What every process needs: clock, logs, metrics, settings, background tasks, start and end."""
