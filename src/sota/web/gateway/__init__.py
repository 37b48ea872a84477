"""What the Web Server asks of Core and of the Resolver for its callers."""
