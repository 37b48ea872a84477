"""Install requests: queue, batch, campaign, and how far each has come."""
