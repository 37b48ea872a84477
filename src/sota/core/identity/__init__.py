"""Identities of vehicles: enrolled, renewed, revoked. Core has the authority's key, but no vehicle's."""
