"""Finds missed uploads and deletes what is no longer needed at the provider."""
