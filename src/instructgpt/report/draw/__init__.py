"""Numbers to pictures: drawings as inline SVG."""
