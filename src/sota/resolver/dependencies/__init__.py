"""Which packages need which: declared at registration, worked out for each vehicle at a resolve (EXT-RESOLV-DEPS)."""
