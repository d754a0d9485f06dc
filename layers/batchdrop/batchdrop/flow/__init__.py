"""Does what the three functions do, as sequences of effects on ports: submit, poll and complete. No SDK is reached from here."""
