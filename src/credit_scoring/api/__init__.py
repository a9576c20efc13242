"""Version 1 of the HTTP API as data: what the service answers and the client reads; Pydantic and nothing else."""
