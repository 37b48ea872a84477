"""The audit trail: who did what to which object, and with what outcome."""
