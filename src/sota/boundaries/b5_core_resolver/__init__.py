"""B5: SOTA Core to External Resolver."""
