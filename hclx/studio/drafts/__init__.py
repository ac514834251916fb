"""What people write and keep: prompts, versions, links and tables."""
