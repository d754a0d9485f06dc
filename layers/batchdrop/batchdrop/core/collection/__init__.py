"""Decides what an answer is worth, and which items a batch left unanswered."""
