"""Finding the smallest schedule that still breaks a client."""
