"""B11: Charging & Billing to SOTA Core."""
