"""The audit trail of a program: who did what to which object, and with what outcome."""
