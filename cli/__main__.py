"""`python -m sam3_edge` is `sam3-edge`."""

from sam3_edge.command import main

if __name__ == "__main__":
    main()
