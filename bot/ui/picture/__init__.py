"""The buttons of one picture, and what is made of it."""
