"""What moderators decide on: cards, their outcomes and appeals."""
