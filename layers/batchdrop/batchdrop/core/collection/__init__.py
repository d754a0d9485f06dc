"""Decides what an answer is worth, and what a batch still owes."""
