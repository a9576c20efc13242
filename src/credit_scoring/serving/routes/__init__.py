"""The routes of the API, version 1, a module for each kind of thing."""
