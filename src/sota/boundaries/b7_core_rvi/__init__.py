"""B7: SOTA Core and the RVI Node Server, both ways."""
