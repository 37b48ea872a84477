"""Calls that the Web Server passes on to Core and the Resolver."""
