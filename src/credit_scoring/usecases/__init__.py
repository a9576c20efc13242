"""What the service does for its callers, without HTTP and without a database."""
