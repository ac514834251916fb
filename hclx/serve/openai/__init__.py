"""The dialect of OpenAI, as its clients and those of vLLM speak it."""
