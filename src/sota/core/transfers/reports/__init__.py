"""Recording what vehicles report of their downloads."""
