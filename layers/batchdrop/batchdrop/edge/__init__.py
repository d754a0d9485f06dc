"""Performs the effects: adapters that implement the ports of `flow.ports` with DynamoDB, S3, OpenAI, SQS and SNS."""
