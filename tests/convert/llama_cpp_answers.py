"""Converts a folder with llama.cpp's own converter and continues prompts with llama.cpp; a program
for a Python that has llama-cpp-python, torch, transformers and gguf, and not hclx.

Its arguments are the folder of llama.cpp's source, a folder of transformers, a file that it may
write, and JSON of prompts as lists of ids. It prints JSON: for each, the ids that follow.
"""

import json
import runpy
import sys

source, folder, gguf, prompts = sys.argv[1:]
sys.path.insert(0, source)
from conversion import base  # noqa: E402

# The converter knows published tokenizers alone, by the ids that they give a text.
base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
sys.argv = [f"{source}/convert_hf_to_gguf.py", folder, "--outtype", "f32", "--outfile", gguf]
runpy.run_path(sys.argv[0], run_name="__main__")

import llama_cpp  # noqa: E402

model = llama_cpp.Llama(gguf, n_ctx=256, verbose=False)
answers = []
for prompt in json.loads(prompts):
    ids = []
    for token in model.generate(prompt, top_k=1, temp=0.0, repeat_penalty=1.0):
        if token == model.token_eos() or len(ids) == 64:
            break
        ids.append(token)
    answers.append(ids)
print(json.dumps(answers))
