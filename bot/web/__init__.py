"""The bot's HTTP server: metrics for Prometheus, and health."""
