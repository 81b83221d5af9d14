"""Model cards: what is known of a model from its files before it is loaded, without torch."""
