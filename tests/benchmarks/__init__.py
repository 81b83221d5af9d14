"""How fast Limner is, beside something simpler in the same run: `limner bench NAME`."""
