"""B9: the RVI Node Client and the SOTA Client, both ways."""
