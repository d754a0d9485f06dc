"""The calls of the API: each looks at what was given, changes the account and returns what the API returns."""
