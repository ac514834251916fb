"""Training data that a model writes: more labelled texts from a few, or from the names of classes
alone, each of which passes filters and says where it is from. Needs the extras `corpus` and, where
the engine follows grammars, `grammar`.
"""
