"""The three functions as sequences of effects on ports: submit, poll and complete. No SDK is reached from here."""
