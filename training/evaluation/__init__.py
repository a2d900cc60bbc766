"""How well a model answers: its answers, their scores, a report and a page of the worst."""
