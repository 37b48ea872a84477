"""How the Resolver follows Core: callers wait until it knows what Core has acknowledged."""
