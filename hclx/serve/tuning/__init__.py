"""Tuning as a service: data sets, jobs, and the models that they make."""
