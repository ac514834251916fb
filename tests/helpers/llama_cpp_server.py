"""Converts a folder with llama.cpp's own converter and serves it with the server of its Python
package; a program for a Python that has llama-cpp-python[server], torch, transformers and gguf, and
not hclx.

Its arguments are the folder of llama.cpp's source, a folder of transformers, a file that it may
write, and a port.
"""

import runpy
import sys

source, folder, gguf, port = sys.argv[1:]
sys.path.insert(0, source)
from conversion import base  # noqa: E402

# The converter knows published tokenizers alone, by the ids that they give a text.
base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
sys.argv = [f"{source}/convert_hf_to_gguf.py", folder, "--outtype", "f32", "--outfile", gguf]
runpy.run_path(sys.argv[0], run_name="__main__")

sys.argv = ["server", "--model", gguf, "--model_alias", "exported", "--n_ctx", "128"]
sys.argv += ["--logits_all", "true", "--host", "127.0.0.1", "--port", port]
runpy.run_module("llama_cpp.server", run_name="__main__")
