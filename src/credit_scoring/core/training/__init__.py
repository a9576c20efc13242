"""Fitting of candidate models; never imported by the decision service."""
