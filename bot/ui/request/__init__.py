"""From words and forms to requests in the queue."""
