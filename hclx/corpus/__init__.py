"""The corpus pipeline: raw files to documents, attributes, verdicts, and the texts that stay. Needs
the `corpus` extra.
"""

from hclx.errors import EXTRA_OF, require

require(*(library for library, extra in EXTRA_OF.items() if extra == "corpus"))
