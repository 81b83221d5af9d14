"""The message of a request and its buttons."""
