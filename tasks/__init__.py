"""Korean text: `tasks.corpora` registers seqio tasks and mixtures, `tasks.evaluation` knows the
sets that models are scored on.

Nothing is imported here: seqio brings TensorFlow, for which one waits, and evaluation sets need
  neither.
"""
