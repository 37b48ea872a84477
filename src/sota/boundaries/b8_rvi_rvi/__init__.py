"""B8: the data link between the RVI nodes."""
