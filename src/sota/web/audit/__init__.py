"""The audit trails, shown to admins: the Web Server's own, and through B2 and B3 those of Core and the Resolver."""
