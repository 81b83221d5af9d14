"""The rules of a server: their rows, files, word lists and packs."""
