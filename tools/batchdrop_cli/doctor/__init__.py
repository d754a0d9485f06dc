"""What `batchdrop doctor` looks at."""
