"""A tokenizer as a user of the library `tokenizers` trains it on texts."""

import json


def save_tokenizer(folder, texts, vocab_size=1024):
    """Trains byte-level BPE that splits text as GPT-2 does and puts <s> before it, and writes it
    into a folder as transformers does.
    """
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = byte_level, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<s>", "</s>", "<unk>", "<|im_end|>"],
        initial_alphabet=byte_level.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    before = {"special_tokens": [("<s>", 0)], "single": "<s> $A"}
    tokenizer.post_processor = processors.TemplateProcessing(**before)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>"}
    config = json.dumps({**config, "eos_token": "</s>"})
    (folder / "tokenizer_config.json").write_text(config, encoding="utf-8")
