"""Korean text; in Python this folder is `hclx.tasks`.

`hclx.tasks.corpora` registers seqio tasks and mixtures, and `hclx.tasks.evaluation` reads the sets
that models are scored on.

Nothing is imported here: the corpora need seqio and TensorFlow, which the evaluation sets do not.
"""
