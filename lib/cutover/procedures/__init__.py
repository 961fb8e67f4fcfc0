"""What notebooks call, one module for each thing that is done on the night."""
