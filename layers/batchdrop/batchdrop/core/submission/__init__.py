"""Decides how a shard becomes one batch, once, and what the provider says of it."""
