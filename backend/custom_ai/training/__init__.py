"""From a snapshot of labels to scored candidates."""
