"""B3: Web Server to External Resolver."""
