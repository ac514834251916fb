"""The planner: what a training step would cost on machines that are not here, from the program
compiled for them.
"""
