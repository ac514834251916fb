"""Texts before they leave a server: a filter that users train on labelled texts, and
masks over personal data. It knows nothing of HTTP.
"""
