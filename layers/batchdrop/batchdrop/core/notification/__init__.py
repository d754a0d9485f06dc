"""Decides what people are notified of, and in which words."""
