"""How requests reach a simulator: over a socket, or in the same process."""
