"""The bias report on simulated models: each planted bias is detected, and nothing else; none where
none is planted, at the stated rate of false alarms.
"""

import itertools
import json

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.evaluate.bias import bias_report, sign_flip_test

NAMES = ("recency", "majority_label", "common_token")
LABELS = {2: ("부정", "긍정"), 3: ("과학", "정치", "경제")}
INPUTS = 24  # divides into labels


def pool(labels, size=8):
    return [({"document": f"{label} {n}"}, label) for label in labels for n in range(size)]


def simulated(seed, labels, recency=0.0, majority=0.0, prior=(0.0,), noise=0.5):
    """A model: what it knows of each input, what it takes from the examples, and noise that is
    another one for every prompt. Returns it for inputs, and for inputs without content.
    """
    prompts = {}
    size = len(labels)

    def score(shots, knows, inputs):
        names = (inputs, *(fields["document"] for fields, _ in shots))
        number = prompts.setdefault(names, len(prompts))
        generator = np.random.default_rng((seed, number))
        logits = knows * np.eye(size)[np.arange(inputs) % size] + np.resize(prior, size)
        logits = logits + generator.normal(0, noise, (inputs, size))
        if shots:
            logits = logits + generator.normal(0, noise, size)  # of the prompt as a whole
            drawn = [label for _, label in shots]
            logits[:, labels.index(drawn[-1])] += recency
            logits = logits + majority * np.array([drawn.count(la) / len(drawn) for la in labels])
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True)) - 5.0

    return lambda shots: score(shots, 1.0, INPUTS), lambda shots: score(shots, 0.0, 3)


def report_of(seed, size=2, calibrate=False, noise=0.5, **planted):
    labels = LABELS[size]
    score, content_free = simulated(seed, labels, noise=noise, **planted)
    free = content_free if calibrate else None
    return bias_report(score, pool(labels), labels, free, seed=seed)


def before(report):
    return {name: bias.before for name, bias in report.biases.items()}


def detected(effects):
    return {name for name in NAMES if effects[name].is_detected}


PLANTED = {
    "recency": {"recency": 2.0},
    "majority_label": {"majority": 4.0},
    "common_token": {"prior": (1.5, 0.0, 0.0)},
}


@pytest.mark.parametrize("size", LABELS)
@pytest.mark.parametrize("name", NAMES)
def test_each_planted_bias_is_detected(name, size):
    times = dict.fromkeys(NAMES, 0)
    for seed in range(20):
        planted = (
            PLANTED[name] if name != "common_token" else {"prior": PLANTED[name]["prior"][:size]}
        )
        effects = before(report_of(seed, size, **planted))
        assert effects[name].effect > 0.05
        for other in detected(effects):
            times[other] += 1
    assert times[name] == 20
    # The others as rarely as where nothing is planted: 5 of 100.
    assert all(times[other] <= 4 for other in NAMES if other != name), times


@pytest.mark.parametrize("size", LABELS)
def test_false_alarms_are_as_rare_as_they_say(size):
    """Over 100 simulations without a bias, each test at 0.05: 5 are expected, and more than 11
    happen once in 200 times.
    """
    reports = [report_of(seed, size) for seed in range(100)]
    for name in NAMES:
        assert sum(report.biases[name].before.is_detected for report in reports) <= 11, name


def test_biases_against_a_label_have_the_other_sign():
    effects = before(report_of(1, recency=-2.0, majority=-4.0))
    assert effects["recency"].effect < -0.05 and effects["majority_label"].effect < -0.05
    assert {"recency", "majority_label"} <= detected(effects)


def test_calibration_takes_planted_biases_out():
    raw, calibrated = np.zeros(3), np.zeros(3)
    for seed in range(20):
        planted = {"recency": 2.0, "majority": 4.0, "prior": (1.5, 0.0)}
        report = report_of(seed, calibrate=True, noise=0.2, **planted)
        raw += [report.biases[name].before.is_detected for name in NAMES]
        calibrated += [report.biases[name].after.is_detected for name in NAMES]
        for name in ("recency", "majority_label"):
            bias = report.biases[name]
            assert abs(bias.after.effect) < abs(bias.before.effect) / 2
    assert (raw == 20).all()
    # The prior's estimate has noise of its own, which is the same for all inputs.
    assert (calibrated[:2] <= 4).all(), calibrated


def test_a_model_without_noise_and_bias_has_effects_of_0():
    report = report_of(0, noise=0.0)
    for effect in before(report).values():
        assert effect.effect == pytest.approx(0, abs=1e-12)
    assert before(report)["recency"].p == before(report)["majority_label"].p == 1
    assert report.prior == pytest.approx(dict.fromkeys(LABELS[2], 0.5))


def test_the_effects_of_a_model_without_noise_by_hand():
    """One label has odds e^1 more where it is last: by how much its probability is larger."""
    labels = LABELS[2]
    score, _ = simulated(0, labels, recency=1.0, noise=0.0)
    report = bias_report(score, pool(labels), labels)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    expected = np.mean([sigmoid(x + 1) - sigmoid(x - 1) for x in (1.0, -1.0)])
    assert before(report)["recency"].effect == pytest.approx(expected)
    assert before(report)["majority_label"].effect == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("size", LABELS)
def test_what_the_pairs_of_prompts_are(size):
    labels, prompts = LABELS[size], []

    def score(shots):
        prompts.append([label for _, label in shots])
        assert len({fields["document"] for fields, _ in shots}) == len(shots)
        return np.zeros((4, size))

    bias_report(score, pool(labels), labels, rounds=6, per_label=2, seed=3)
    assert len(prompts) == 4 * 6 + 1 and [] in prompts
    recency, majority = prompts[:12], prompts[12:24]
    for first, second in pairs(recency):
        assert all(first.count(label) == 2 for label in labels)
        assert (first[0], first[-1]) == (second[-1], second[0])
        assert first[0] != first[-1] and first[1:-1] == second[1:-1]
    assert len({tuple(prompt[1:-1]) for prompt in recency}) > 1  # in random order
    for first, second in pairs(majority):
        counts = sorted(first.count(label) for label in labels)
        assert counts == [1] * (size - 1) + [3]
        assert first[-1] == second[-1]
        most = [max(labels, key=prompt.count) for prompt in (first, second)]
        assert most[0] != most[1]


def pairs(prompts):
    return zip(prompts[::2], prompts[1::2], strict=True)


def test_calibrated_reports_score_each_prompt_once():
    labels, counts = LABELS[2], {"items": 0, "free": 0}

    def counting(name):
        def score(shots):
            counts[name] += 1
            return np.zeros((4, 2))

        return score

    bias_report(counting("items"), pool(labels), labels, counting("free"), rounds=6)
    assert counts == {"items": 25, "free": 25}


def test_sign_flips_by_brute_force():
    rows = np.array([0.5, -0.2, 0.9, 0.4, 0.1])
    means = [abs(np.dot(signs, rows)) for signs in itertools.product((1, -1), repeat=5)]
    expected = np.mean([mean >= abs(rows.sum()) - 1e-12 for mean in means])
    assert sign_flip_test(rows[:, None]) == pytest.approx(expected)
    assert sign_flip_test(np.ones((6, 1))) == pytest.approx(2 / 64)
    assert sign_flip_test(np.zeros((20, 2))) == 1


def test_random_signs_are_close_to_a_t_test():
    stats = pytest.importorskip("scipy.stats")
    rows = np.random.default_rng(1).normal(0.3, 1, (40, 1))
    expected = stats.ttest_1samp(rows[:, 0], 0).pvalue
    assert sign_flip_test(rows) == pytest.approx(expected, abs=0.02)


def test_a_report_is_json():
    raw = json.loads(json.dumps(report_of(0, calibrate=True).to_json(), allow_nan=False))
    fields = {"effect", "interval", "p", "is_detected"}
    for side in ("before", "after"):
        assert raw[side].keys() == set(NAMES)
        assert all(effect.keys() == fields for effect in raw[side].values())
    assert raw["labels"] == list(LABELS[2]) and len(raw["prior"]) == 2
    assert raw["level"] == 0.05 and raw["rounds"] == 16
    assert report_of(0).to_json()["after"] is None


def test_intervals_hold_the_effect():
    """Over 50 simulations: that of 95% holds the effect without noise nearly always."""
    labels, held = LABELS[2], 0
    exact = bias_report(simulated(0, labels, recency=1.0, noise=0.0)[0], pool(labels), labels)
    truth = before(exact)["recency"].effect
    for seed in range(50):
        low, high = before(report_of(seed, recency=1.0, noise=0.2))["recency"].interval
        held += low <= truth <= high
    assert held >= 40


@pytest.mark.parametrize(
    ("labels", "settings", "reason"),
    [
        (("부정",), {}, "between two labels"),
        (("부정", "중립"), {}, "'중립' has 0 examples; give 3"),
        (("부정", "긍정"), {"per_label": 9}, "has 8 examples; give 9"),
        (("부정", "긍정"), {"rounds": 0}, "rounds=0"),
        (("부정", "긍정"), {"level": 1.0}, "level=1.0"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels, settings, reason):
    with pytest.raises(ConfigError, match=reason):
        bias_report(lambda shots: np.zeros((2, 2)), pool(LABELS[2]), labels, **settings)
