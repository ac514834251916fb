"""hclx's own dialect."""
