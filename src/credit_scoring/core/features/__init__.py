"""Declared features and their computation."""
