"""The binder: turns declared rows into routes and services, and outcomes into answers."""
