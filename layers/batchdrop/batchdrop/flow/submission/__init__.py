"""Creates batches, watches them, and recovers what is uncertain."""
