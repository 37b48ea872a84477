"""B1: Web Browser to Web Server; also for programs that hold a token."""
