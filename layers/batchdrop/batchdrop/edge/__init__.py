"""Effects: the adapters that keep the ports of `flow.ports` against DynamoDB, S3, OpenAI, SQS and SNS."""
