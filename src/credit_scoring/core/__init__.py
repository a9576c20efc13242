"""The domain: pure functions and frozen data; no framework, no I/O."""
