"""Dependencies: declared at registration, resolved for each vehicle (EXT-RESOLV-DEPS)."""
