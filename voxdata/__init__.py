"""The pure core of voxdata: values, interval algebra, audio access, ports and model backends."""

__version__ = "0.1.0"
