"""The version of the package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("instructgpt")
except PackageNotFoundError:  # a checkout on PYTHONPATH that was never installed
    __version__ = "unknown"
