"""Decides how the records of an upload become request lines."""
