"""X-ray measurements in step with a cycling battery. Importing it connects to nothing."""
