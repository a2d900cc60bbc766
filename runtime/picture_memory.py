"""The memory of all sources' pictures: one that is opened again finds what it left behind."""

from sam3_edge.engines.buffer_pool import BufferPool

PICTURES = BufferPool()
