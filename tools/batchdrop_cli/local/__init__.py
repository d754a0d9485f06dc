"""The whole stack on one machine: an embedded AWS, the provider or its simulator, and `template.yaml` deployed on it."""
