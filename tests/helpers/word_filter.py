"""A filter that knows some words, in place of a trained one."""

from hclx.serve.safety.categories import Category
from hclx.serve.safety.output_filter import Finding


class WordFilter:
    """Flags the words that it knows."""

    name = "words"
    categories = (
        Category("curse", "insult", "c", ("v",)),
        Category("unsafeContents", "discrimination", "c", ("v",)),
    )

    def judge(self, text):
        insult = 0.9 if "바보" in text else 0.5 if "녀석" in text else 0.1
        chances = insult, 0.6 if "끝" in text else 0.0
        pairs = zip(self.categories, chances)
        return [Finding(c, p, 0 if p > 0.8 else 1 if p > 0.4 else 2) for c, p in pairs]
