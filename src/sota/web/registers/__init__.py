"""Both registers or neither: objects that are in Core and in the Resolver."""
