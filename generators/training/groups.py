"""Group count of the networks' normalisation; apart, so that the command line needs no torch to know it."""

GROUPS = 32
"""The channels of each level of a denoiser are multiples of it, the number of its heads and normalised groups."""
