"""Both registers or neither: what must stand in Core and in the Resolver."""
