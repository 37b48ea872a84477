"""Identities of vehicles: enrolled, renewed, revoked. Core has the authority's key, and nothing of a vehicle's."""
