"""What may be drawn, where: rules, how text is compared with them, and where they are kept."""
