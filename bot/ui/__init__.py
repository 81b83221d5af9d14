"""What Discord shows: messages, buttons, delivery and review cards."""
