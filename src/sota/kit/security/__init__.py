"""Certificates, signatures and TLS."""
