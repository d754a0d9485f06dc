"""Decides what is sent now: quota at the provider, and money."""
