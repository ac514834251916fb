"""Splits Korean text into sentences, by what ends them and by lines."""

import re

# A full stop within a number or a name has no space behind it.
_END = re.compile(r"(?<=[.!?…。？！])[\"'”’)\]」』】]*\s|\n")


def split_sentences(text: str) -> list[str]:
    """Returns the sentences of a text in order, none of them blank, without the white space around
    them. One that no mark ends goes on to the end of its line.
    """
    sentences, start = [], 0
    for end in _END.finditer(text):
        sentences.append(text[start : end.end()].strip())
        start = end.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]
