"""Drafts a declaration from received rows: what each column looks like, and what is likely but not certain."""
