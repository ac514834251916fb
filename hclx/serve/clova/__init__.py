"""The dialect of CLOVA Studio."""
