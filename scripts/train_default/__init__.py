"""The long run of the default model: legs of training that go on in the background.

Standard library only: it runs with any Python from 3.10 on, without an environment. Read in this
order: command, start, places, make_leg, supervise, progress, status.
"""
