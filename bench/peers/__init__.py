"""What a user would run instead, each at its best settings."""
