"""Readers of evaluation sets in their publishers' formats: the path of a file -> its items.

A line or record that is not as the format has it raises DataError, which names the file, the line
or the number of the record, and the field.
"""
