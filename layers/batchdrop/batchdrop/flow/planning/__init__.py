"""Turns an upload into chunks of request lines."""
