"""Merges a job's outcomes into its results, and writes its status."""
