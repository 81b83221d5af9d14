"""Generators trained here: data, trainers and the small models that ship. Importing this imports no torch."""
