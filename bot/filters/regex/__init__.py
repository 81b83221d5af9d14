"""Moderators' regexes: parsed, weighed and matched in linear time."""
