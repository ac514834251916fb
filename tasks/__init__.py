"""Korean text; in Python this folder is `hclx.tasks`.

`hclx.tasks.corpora` registers seqio tasks and mixtures, and `hclx.tasks.evaluation` reads the texts
of the sets that models are scored on, for decontamination. `hclx.tasks.fewshot` has the tasks of
few-shot evaluation, whose prompts and suites are the JSON files in prompts/ and suites/, and
`hclx.tasks.fewshot_seqio` registers them with seqio.

Nothing is imported here: the corpora need seqio and TensorFlow, which the evaluation sets do not.
"""

DATA_DIR_VARIABLE = "HCLX_DATA_DIR"  # of the environment: the folder of real data
