"""What is minimised, and which query answers for which object."""
