"""Records of human feedback and their files; light: imports neither torch nor transformers."""
