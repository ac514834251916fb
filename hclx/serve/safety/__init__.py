"""What a server does with texts before they leave: a filter that users train on labelled texts, and
masks over personal data. It knows nothing of HTTP.
"""
