"""Image policy, quarantine, reviews, appeals, strikes and evasion."""
