"""Adapts DynamoDB, S3, SQS, SNS and CloudWatch to the ports."""
