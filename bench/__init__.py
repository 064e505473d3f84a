"""`scripts/bench`: the product and what a user would run instead, side by side in one run."""
