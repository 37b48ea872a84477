"""The audit trail of SOTA Core."""
