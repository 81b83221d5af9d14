"""The scenes and the recipe that the shipped model is trained with."""
