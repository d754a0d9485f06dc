"""Decides what an operator sees, and which uploads were missed."""
