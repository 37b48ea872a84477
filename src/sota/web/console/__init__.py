"""The console: pages rendered by the server, with their style sheet and script."""
