"""What tells people of notifications outside of the pages. Found by entry points, as those of others are."""
