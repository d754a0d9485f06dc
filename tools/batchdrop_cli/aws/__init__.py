"""What the commands do in the person's AWS account."""
