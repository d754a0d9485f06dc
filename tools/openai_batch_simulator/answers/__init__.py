"""What is answered to a request line."""
