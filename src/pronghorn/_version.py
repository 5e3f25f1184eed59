"""The one place that holds the version; ``pyproject.toml`` reads it too."""

__version__ = "0.1.0"
