"""The audit trail of the External Resolver."""
