"""Explanations: why a vehicle gets a package or not, clause by clause and step by step."""
