"""Where a run runs: this process, several, or a cluster's."""
