"""Admits shards while there is quota and money."""
