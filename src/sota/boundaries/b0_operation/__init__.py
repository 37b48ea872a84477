"""B0, operation: what every program answers on its operation port. Ours, not the whitelist's."""
