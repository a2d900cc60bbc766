"""What executes the graphs of a bundle, and how bundles are read and refused."""
