"""The decision service: everything that only it needs."""
