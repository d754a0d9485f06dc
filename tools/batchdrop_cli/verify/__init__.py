"""What is assumed of a provider and of AWS, and how it is looked at."""
