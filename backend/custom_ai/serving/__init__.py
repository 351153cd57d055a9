"""From an exported model and pixels to boxes."""
