"""Contents of prompts in the Studio, for tests."""

SMALL = {
    "schema": "hclx.studio/1",
    "document": {
        "schema": "hclx.prompt/1",
        "name": "감정",
        "input": "후기: {text}\n감정:",
        "answer": " {answer}",
    },
}

EVERY_KNOB = {
    "schema": "hclx.studio/1",
    "document": {
        "$schema": "prompt.schema.json",
        "schema": "hclx.prompt/1",
        "name": "후기/감정",
        "description": "후기의 감정을 까닭과 함께 쓴다.",
        "source": "직접 씀",
        "directive": "{shop}의 후기를 읽고 감정과 까닭을 쓴다.\n\n",
        "input": "후기: {text}\n감정:",
        "answer": " {feeling}",
        "separator": "\n###\n",
        "examples": [
            {"text": "국물이 진해요.", "feeling": "긍정, 맛"},
            {"text": "면이 불었어요 <b>😀</b>", "feeling": "부정, 면"},
        ],
        "answer_field": "feeling",
        "stop": ["\n###", "후기:"],
        "parser": {"kind": "regex", "pattern": "(긍정|부정)"},
        "grammar": {"regex": " (긍정|부정), [가-힣]+"},
        "sampling": {
            **{"max_tokens": 40, "min_tokens": 1, "top_k": 50, "seed": 7, "temperature": 0.5},
            **{"top_p": 0.8, "min_p": 0.05, "repetition_penalty": 1.1},
            **{"frequency_penalty": 0.25, "presence_penalty": 0.5},
        },
        "budget": {"tokens": 900, "drop": "last"},
    },
    "model": "demo",
    "view": "blocks",
    "n": 3,
    "logprobs": 7,
    "block": 1,
    "table": "tb-1",
    "item": {"shop": "<모퉁이>", "text": ""},
    "chat": {
        "system": "가게 주인처럼 답한다.",
        "turns": [{"user": "배송 언제 와요?", "assistant": "내일 도착해요."}, {"user": "고마워요"}],
    },
}
