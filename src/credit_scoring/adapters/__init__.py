"""Ports on real things: files, databases, the registry."""
