"""The commands of `batchdrop`, one group or command a file."""
