"""Chains of stages: sampling for the labelers, and the whole loop from a base model to a report."""
