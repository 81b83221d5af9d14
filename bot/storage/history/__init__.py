"""A member's requests and pictures: pages, search, deletion and retention."""
