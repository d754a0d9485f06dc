"""Defines the values that all chapters share: rows of the ledger, names and keys, batches, outcomes, limits, errors."""
