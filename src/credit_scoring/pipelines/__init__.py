"""Kedro pipelines, one folder per step."""
