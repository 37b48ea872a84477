"""B6: External Resolver to its database."""
