"""Collects the answers of ended batches."""
