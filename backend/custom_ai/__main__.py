"""``python -m custom_ai`` is ``custom-ai``."""

from custom_ai.cli import main

if __name__ == "__main__":
    main()
