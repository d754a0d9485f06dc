"""Decisions: values in, values out. No SDK, clock, chance, environment or log is reached from here."""
