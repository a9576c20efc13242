"""Benchmark of the service: variants as processes of their own, loaded in turns over loopback."""
