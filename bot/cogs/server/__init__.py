"""/server: the settings of a server on one private screen, for members with Manage Server."""
