"""The durable, fair queue of jobs."""
