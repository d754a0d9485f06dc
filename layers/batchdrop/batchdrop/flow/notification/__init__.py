"""Publishes what a job or the installation waits for."""
