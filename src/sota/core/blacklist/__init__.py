"""The blacklist: packages that are registered, but sent to no vehicle."""
