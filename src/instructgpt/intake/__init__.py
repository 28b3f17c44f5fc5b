"""From raw prompts to sets that may be trained on (section 3.2, appendix A)."""
