"""Simulated labelers: a rubric, tastes and noise; a written rule; and what audits them."""
