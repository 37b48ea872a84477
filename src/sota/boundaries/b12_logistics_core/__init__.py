"""B12: Logistics & Provisioning to SOTA Core."""
