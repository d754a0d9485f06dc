"""One simulated account: its files, its batches and their limits."""
