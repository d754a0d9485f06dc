"""What runs on a person's machine: the command, and the local stack below `local`."""
