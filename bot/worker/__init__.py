"""One process per device: claims, prepares, paints, classifies, scores and stores."""
