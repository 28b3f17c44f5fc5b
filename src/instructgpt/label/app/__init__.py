"""The labelers' web app."""
