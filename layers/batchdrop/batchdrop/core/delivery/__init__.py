"""Decides how a job ends, and what its documents say."""
