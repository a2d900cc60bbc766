"""From annotations and pictures to batches."""
