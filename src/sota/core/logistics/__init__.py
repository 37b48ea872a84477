"""Logistics & Provisioning: vehicles as they are built, in bulk."""
