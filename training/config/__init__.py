"""What a run is: the typed schema, ready configurations, and how they are put together."""
