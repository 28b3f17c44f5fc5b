"""Hugging Face models as this project needs them: load, save, forward, score, sample-ready text."""
