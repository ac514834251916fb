"""Writes the output folder of an evaluation by hand: results.json and samples in the documented
format, of a simulated model. The texts are original.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

SUBJECTS = (
    "영화",
    "배우의 연기",
    "음악",
    "결말",
    "대사",
    "화면",
    "이야기",
    "편집",
    "첫 장면",
    "배경",
)
GOOD = ("마음에 오래 남아요", "생각보다 훨씬 좋았습니다", "다시 보고 싶어요", "지루할 틈이 없네요")
BAD = (
    "너무 지루했어요",
    "기대한 만큼 실망이 컸습니다",
    "끝까지 보기 힘들었어요",
    "어색하기만 하네요",
)
TOPICS = {
    "사회": "동네 도서관 열 곳이 밤에도 문을 연다",
    "경제": "작은 가게들의 봄 매출이 조금 늘었다",
    "스포츠": "막내 선수가 마지막 경기에서 이겼다",
    "과학": "새 망원경이 먼 은하의 빛을 담았다",
}
TARGETED = "<script>alert('검사')</script> & \"따옴표\"\x07"


def figure(values_ti: np.ndarray, scale: float = 1.0, seed: int = 0) -> dict:
    """Mean, deviation and bootstrap interval of item scores, a row for each trial."""
    generator = np.random.default_rng(seed)
    n = values_ti.shape[1]
    means = [values_ti[:, generator.integers(0, n, n)].mean() for _ in range(400)]
    low, high = np.quantile(means, [0.025, 0.975])
    trials = scale * values_ti.mean(axis=1)
    return {
        "mean": float(trials.mean()),
        "std": float(trials.std()),
        "interval": [float(scale * low), float(scale * high)],
        "trials": trials.tolist(),
    }


def constant(value: float, width: float = 0.02) -> dict:
    interval = [value - width, value + width]
    return {"mean": value, "std": width / 3, "interval": interval, "trials": [value]}


def items_of(task: str, n: int) -> list[dict]:
    """id, fields and gold of each item."""
    generator = np.random.default_rng(sum(map(ord, task)))
    items = []
    for number in range(n):
        if task == "klue_ynat":
            gold = list(TOPICS)[number % len(TOPICS)]
            fields = {"title": f"{TOPICS[gold]}, {number + 1}번째 소식"}
        elif task == "korquad":
            gold = f"{1900 + number}년"
            context = f"이 다리는 {gold}에 놓였고, 그 뒤로 두 번 고쳐 지었다."
            fields = {"context": context, "question": "다리는 언제 놓였는가?"}
        else:
            gold = str(number % 2)
            subject = SUBJECTS[generator.integers(len(SUBJECTS))]
            text = (GOOD if gold == "1" else BAD)[generator.integers(4)]
            particle = "이" if (ord(subject[-1]) - 0xAC00) % 28 else "가"
            fields = {"document": f"{subject}{particle} {text} ({number + 1})"}
        if number == 1:
            fields[next(iter(fields))] += TARGETED
        items.append({"id": f"{task}-{number:04d}", "fields": fields, "gold": gold})
    return items


def write_run(
    folder: Path,
    task: str,
    *,
    template: str = "hclx",
    shots: int = 16,
    dropped: int = 0,
    trials: int = 3,
    n: int = 240,
    skill: float = 0.7,
    seed: int = 0,
    chance: float | None = None,
    main: str = "accuracy",
    biased: bool = False,
) -> dict:
    """Writes the samples of a run; returns the run. `skill` is the chance of a right answer."""
    items = items_of(task, n)
    keys = sorted({item["gold"] for item in items}) if task != "korquad" else []
    generator = np.random.default_rng([seed, shots, sum(map(ord, task + template))])
    # Items are hard or easy for every model, so that pairs are correlated.
    ease_i = np.random.default_rng(7).normal(size=n)
    names, correct, rows, confidences = [], [], [], []
    confusion = np.zeros((len(keys), len(keys)), int)
    for trial in range(trials):
        name = f"samples/{task}.{template}.{shots}shot.{trial}.jsonl"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise_i = generator.normal(size=n)
        right_i = (0.7 * ease_i + 0.7 * noise_i) < _quantile(skill)
        lines = []
        for item, is_right in zip(items, right_i):
            others = [key for key in keys if key != item["gold"]]
            wrong = str(generator.choice(others)) if others else "1900년 무렵"
            prediction = item["gold"] if is_right else wrong
            confidence = float(generator.uniform(1 / max(2, len(keys)) + 0.1, 0.98))
            line = _line(item, trial, prediction, bool(is_right), keys, confidence, shots)
            if keys:
                confusion[keys.index(item["gold"]), keys.index(prediction)] += 1
                confidences.append((confidence, bool(is_right)))
            elif not is_right and generator.random() < 0.3:
                line["correct"] = 0.5
            lines.append(json.dumps(line))
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        names.append(name)
        correct.append([json.loads(line)["correct"] for line in lines])
        rows += lines
    own = figure(np.array(correct, float))
    metrics = {main: own} if keys else {"exact_match": own, "f1_character": own}
    run = {
        "task": task,
        "template": template,
        "prompt_hash": hashlib.sha256(f"{task}{template}".encode()).hexdigest(),
        "split": "dev",
        "shots_split": "train",
        "shots_asked": shots,
        "shots": shots - dropped,
        "shots_dropped": dropped,
        "draw": "trial" if keys else "own",
        "trials": trials,
        "items": n,
        "seed": seed,
        "bos": [1],
        "score": "per_token" if keys else "total",
        "straddles": 0,
        "truncated": 0,
        "main": main if keys else "f1_character",
        "chance": (1 / len(keys) if chance is None else chance) if keys else None,
        "metrics": metrics,
        "scores": {},
        "calibrated": {},
        "labels": keys,
        "confusion": confusion.tolist(),
        "reliability": _reliability(confidences),
        "bias": None,
        "signatures": {},
        "samples": names,
    }
    if keys:
        run["scores"] = {
            score: {main: constant(own["mean"] + shift)}
            for score, shift in (("total", -0.05), ("per_token", 0), ("pmi", 0.03))
        }
        run["calibrated"] = {
            "contextual": {main: constant(min(0.97, own["mean"] + 0.08))},
            "domain": {main: constant(min(0.97, own["mean"] + 0.06))},
        }
    if biased:
        effect = lambda value, p: {"effect": value, "p": p, "is_detected": p <= 0.05}
        before = {"recency": effect(0.18, 0.004), "majority": effect(0.31, 0.0002)}
        after = {"recency": effect(-0.02, 0.6), "majority": effect(0.04, 0.21)}
        run["bias"] = {
            **{"level": 0.05, "rounds": 16, "labels": keys, "prior": [0.92, 0.08]},
            "before": before | {"common_token": effect(0.42, 0.0001)},
            "after": after | {"common_token": effect(0.01, 0.5)},
        }
    return run


def _quantile(share: float) -> float:
    """The value below which this share of normal numbers is."""
    from statistics import NormalDist

    return 0.99 * NormalDist().inv_cdf(min(0.999, max(0.001, share)))


def _line(item, trial, prediction, is_right, keys, confidence, shots) -> dict:
    text = "\n".join(item["fields"].values())
    examples = "".join(f"{GOOD[i % 4]} (긍정)\n{BAD[i % 4]} (부정)\n" for i in range(shots // 2))
    rest = (1 - confidence) / max(1, len(keys) - 1)
    return {
        "id": item["id"],
        "trial": trial,
        "doc_hash": hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest(),
        "prompt_hash": hashlib.sha256(text.encode()).hexdigest(),
        "target_hash": hashlib.sha256(item["gold"].encode()).hexdigest(),
        "prompt": f"{examples}{text} (",
        "fields": item["fields"],
        "gold": item["gold"],
        "answers": [] if keys else [item["gold"]],
        "prediction": prediction,
        "correct": is_right,
        "probabilities": {key: confidence if key == prediction else rest for key in keys},
        "scores": {key: {"total": -3.2, "tokens": 2} for key in keys},
        "text": "" if keys else f" {prediction}이었다.\n질문",
        "n_tokens": 40 * shots,
        "shots": shots,
    }


def _reliability(pairs: list[tuple[float, bool]]) -> list[dict]:
    bins = []
    for low in np.arange(0, 1, 0.1):
        inside = [(c, r) for c, r in pairs if low <= c < low + 0.1]
        if inside:
            confidence, accuracy = np.mean(inside, axis=0).tolist()
            bins.append({"confidence": confidence, "accuracy": accuracy, "count": len(inside)})
    return bins


def write(
    folder: Path,
    runs: list[dict],
    *,
    name: str = "한국어 58M",
    step: int | None = 20_000,
    parameters: int | None = 58_000_000,
) -> Path:
    """Writes results.json; returns the folder."""
    results = {
        "schema": "hclx.results/1",
        "hclx": "0.1.0",
        "model": {
            "name": name,
            "model_dir": "runs/mine",
            "step": step,
            "parameters": parameters,
            "fingerprint": "5f2c",
            "tokenizer": "9a1e",
            "max_length": 1024,
            "dtype": "float32",
        },
        "started": "2026-11-28T20:15:00+00:00",
        "seconds": 412.5,
        "compile_seconds": 38.0,
        "runs": runs,
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, ensure_ascii=False, indent=1)
    (folder / "results.json").write_text(text, encoding="utf-8")
    return folder


def write_evaluation(folder: Path, seed: int = 0, gain: float = 0.0, **model) -> Path:
    """Writes an evaluation of five tasks: above, at and below chance, and without chance."""
    runs = [
        write_run(folder, "nsmc", template=template, shots=shots, skill=skill + gain, seed=seed)
        | ({"bias": None} if shots != 16 else {})
        for template, skills in (("hyperclova", (0.5, 0.55, 0.62)), ("hclx", (0.51, 0.63, 0.74)))
        for shots, skill in zip((0, 4, 16), skills)
    ]
    runs.append(
        write_run(
            folder,
            "nsmc",
            template="hclx",
            shots=70,
            dropped=28,
            skill=0.76 + gain,
            seed=seed,
            biased=True,
            trials=12,
        )
    )
    add = lambda task, **settings: runs.append(write_run(folder, task, seed=seed, **settings))
    add("kobest_boolq", template="lm_eval", shots=4, skill=0.5, trials=1, n=150, main="f1_macro")
    add(
        "klue_ynat", template="hyperclova", shots=70, dropped=30, skill=0.55 + gain, main="f1_macro"
    )
    add("hate_speech", shots=8, skill=0.4, chance=0.5)
    add("korquad", template="hyperclova", shots=4, skill=0.35 + gain, trials=1)
    return write(folder, runs, **model)
