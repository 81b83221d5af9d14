"""The options of /imagine: what can be asked for, and how what is typed is read."""
