"""B4: SOTA Core to its database."""
