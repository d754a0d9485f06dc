"""Adapts the OpenAI API, and servers that speak it, to the port."""
