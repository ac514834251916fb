"""Configuration: gin sets fields and nothing else; what does not fit is refused in one line."""

import dataclasses
import math
import re

import jax
import numpy as np
import pytest

from hclx.config import (
    MORPHEMES_OF,
    ComputeConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    TokenizerConfig,
    TrainConfig,
    _log_once,
)
from hclx.data.sampler import Order
from hclx.distill.distill_settings import SECTIONS as DISTILLATION
from hclx.errors import ConfigError
from hclx.gin_bindings import load_experiment, load_sections
from hclx.model import n_params
from hclx.tune.tuning_settings import SECTIONS
from tests.conftest import ROOT
from tests.helpers.sizes import SIZES

DEMO = ["gin_configs/runs/demo.gin"]


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: ModelConfig(d_model=100, n_heads=16),
            "n_heads=16 does not divide ModelConfig.d_model=100",
        ),
        (lambda: ModelConfig(n_layers=0), "ModelConfig.n_layers must be positive, got 0"),
        (lambda: ModelConfig(n_layers="ten"), "ModelConfig.n_layers must be int, got 'ten'"),
        (lambda: ModelConfig(n_layers=True), "must be int, got True"),
        (
            lambda: ComputeConfig(dtype="float16"),
            "ComputeConfig.dtype='float16' is not one of bfloat16, float32",
        ),
        (lambda: OptimizerConfig(beta2=1.0), "beta2 must lie in"),
        (lambda: DataConfig(), "give one of DataConfig.mixture"),
        (lambda: DataConfig(mixture="a", input="b"), "give one of DataConfig.mixture"),
        (
            lambda: TrainConfig(global_batch_size=6, accumulation_steps=4),
            "accumulation_steps=4 does not divide",
        ),
        (lambda: TrainConfig(z_loss=-1e-4), "TrainConfig.z_loss=-0.0001 is negative"),
        (lambda: ModelConfig(qk_norm=1), "ModelConfig.qk_norm must be bool, got 1"),
        (lambda: TrainConfig(seed=-1), "TrainConfig.seed=-1 is negative"),
        (lambda: TrainConfig(seed=2**63), "TrainConfig.seed=9223372036854775808 does not fit"),
        (lambda: TrainConfig(eval_every=-5), "TrainConfig.eval_every=-5 is negative"),
        (lambda: TrainConfig(keep_every=-1), "TrainConfig.keep_every=-1 is negative"),
        (lambda: TrainConfig(keep_best=-1), "TrainConfig.keep_best=-1 is negative"),
        (
            lambda: TrainConfig(keep_best=1, eval_every=300),
            "eval_every=300 and TrainConfig.checkpoint_every=1000 few .* give eval_every=1000",
        ),
        (lambda: TrainConfig(keep_best=1, eval_every=0), "checkpoint_every=1000 none would have"),
        (lambda: TrainConfig(total_steps=2**31), "total_steps=2147483648 is too large"),
        (lambda: OptimizerConfig(epsilon=1e-60), "OptimizerConfig.epsilon=1e-60 is 0 in float32"),
        (lambda: OptimizerConfig(beta1=1 - 1e-9), "beta1 must lie in .* got 0.999999999"),
        (lambda: OptimizerConfig(learning_rate=10**400), "learning_rate=inf is not a finite"),
        (lambda: TokenizerConfig(sample_rate=True), "sample_rate must be float, got True"),
    ],
)
def test_values_that_do_not_fit_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("eval_every", [100, 1000, 3000])
def test_the_best_are_kept_where_each_save_is_evaluated_or_each_evaluation_saved(eval_every):
    assert TrainConfig(keep_best=2, eval_every=eval_every, checkpoint_every=1000).keep_best == 2


FLOATS = [
    (kind, field.name)
    for kind in (ModelConfig, OptimizerConfig, TokenizerConfig, TrainConfig)
    for field in dataclasses.fields(kind)
    if field.type is float
]


@pytest.mark.parametrize(("kind", "name"), FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39])
def test_a_float_that_is_not_finite_on_devices_is_refused_by_name(kind, name, value):
    message = f"{kind.__name__}.{name}={value} is not a finite"
    with pytest.raises(ConfigError, match=re.escape(message)):
        kind(**{name: value})


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**63 - 1])
def test_every_seed_that_is_accepted_gives_parameters_and_an_order(seed):
    train = TrainConfig(seed=seed)
    jax.random.key(train.seed)
    order = Order((5,), (1.0,), train.seed).locate(np.arange(5))[1]
    assert sorted(order) == list(range(5))


def test_bindings_win_over_files_and_whole_numbers_are_floats_where_floats_are_meant():
    experiment = load_experiment(
        DEMO,
        [
            "TrainConfig.total_steps=40",
            "OptimizerConfig.learning_rate=1",
            "OptimizerConfig.warmup_steps=3",
        ],
    )
    assert experiment.train.total_steps == 40 and experiment.optimizer.learning_rate == 1.0
    assert load_experiment(DEMO, []).train.total_steps != 40  # nothing stays behind


@pytest.mark.parametrize(
    "bindings, expected",
    [
        ([], ("sample", "", "")),
        (["DataConfig.input=my.txt"], ("", "", "my.txt")),
        (["DataConfig.corpus=runs/corpus"], ("", "runs/corpus", "")),
        (["DataConfig.mixture=kowiki"], ("kowiki", "", "")),
        # as it had to be written once
        (["DataConfig.mixture=", "DataConfig.input=my.txt"], ("", "", "my.txt")),
        (["DataConfig.mixture=kowiki", "DataConfig.max_documents=3"], ("kowiki", "", "")),
    ],
)
def test_text_that_bindings_give_replaces_that_of_the_files(bindings, expected):
    data = load_experiment(DEMO, bindings).data
    assert (data.mixture, data.corpus, data.input) == expected


def test_settings_of_a_text_go_with_it(tmp_path):
    """8,000 documents of Wikipedia are not 8,000 documents of one's own text."""
    of = lambda *bindings: load_experiment(["runs/kowiki_cpu.gin"], list(bindings)).data
    assert of().max_documents == 8000 == of("DataConfig.cache_dir=c").max_documents
    assert of("DataConfig.input=my.txt").max_documents == 0
    assert of("DataConfig.corpus=c").max_documents == 0
    for order in (1, -1):
        own = ["DataConfig.input=my.txt", "DataConfig.max_documents=3"][::order]
        assert of(*own).max_documents == 3
    first, second = tmp_path / "first.gin", tmp_path / "second.gin"
    first.write_text("DataConfig.input = 'a.txt'\nDataConfig.encoding = 'cp949'\n")
    second.write_text("DataConfig.input = 'b.txt'\n")
    data = load_experiment(["runs/kowiki_cpu.gin", str(first), str(second)], []).data
    assert (data.input, data.encoding) == ("b.txt", "")


def test_fewer_steps_than_the_warm_up_name_both_flags_and_what_to_write():
    with pytest.raises(ConfigError) as caught:
        load_experiment(["runs/kowiki_cpu.gin"], ["TrainConfig.total_steps=20"])
    message = str(caught.value)
    assert "OptimizerConfig.warmup_steps=50 is not below TrainConfig.total_steps=20" in message
    assert re.search(
        r"set by .*kowiki_cpu.gin:12: .* and by --gin.TrainConfig.total_steps=20$", message
    )
    (advice,) = re.findall(r"give --gin\.(\S+),", message)
    assert load_experiment(["runs/kowiki_cpu.gin"], ["TrainConfig.total_steps=20", advice])


def test_text_that_a_later_file_gives_replaces_that_of_an_earlier_one(tmp_path):
    own, other = tmp_path / "own.gin", tmp_path / "other.gin"
    own.write_text("DataConfig.input = 'my.txt'\n")
    other.write_text("TrainConfig.seed = 3\n")
    data = load_experiment([*DEMO, str(own), str(other)], []).data
    assert (data.mixture, data.input) == ("", "my.txt")
    assert load_experiment([str(own), *DEMO], []).data.mixture == "sample"


@pytest.mark.parametrize(
    "bindings",
    [["DataConfig.mixture=kowiki", "DataConfig.input=my.txt"], ["DataConfig.mixture="]],
)
def test_two_texts_or_none_on_the_command_line_are_refused(bindings):
    message = "give one of DataConfig.mixture"
    message = "name two texts; give one of them" if len(bindings) > 1 else message
    with pytest.raises(ConfigError, match=message):
        load_experiment(DEMO, bindings)


def test_gin_files_are_found_by_the_end_of_their_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load_experiment(["runs/demo.gin"], []) == load_experiment(DEMO, [])
    with pytest.raises(ConfigError, match="runs/9b.gin does not exist.*demo.gin"):
        load_experiment(["runs/9b.gin"], [])


def test_words_need_no_quotes():
    for value in ("merges_and_text", "'merges_and_text'"):
        tokenizer = load_experiment(DEMO, [f"TokenizerConfig.morphemes={value}"]).tokenizer
        assert tokenizer.morphemes == "merges_and_text"


def test_the_later_of_two_names_of_a_setting_wins(tmp_path):
    """In files and then on the command line; both names at once are a contradiction."""
    files = {"old": "TokenizerConfig.mode = 'plain'", "new": "TokenizerConfig.morphemes = 'merges'"}
    paths = {name: tmp_path / f"{name}.gin" for name in files}
    for name, text in files.items():
        paths[name].write_text(text + "\n", encoding="utf-8")
    morphemes = lambda names, bindings=(): (
        load_experiment(
            [*DEMO, *(str(paths[name]) for name in names)], list(bindings)
        ).tokenizer.morphemes
    )
    assert morphemes(["old", "new"]) == "merges"
    assert morphemes(["new", "old"]) == morphemes(["old"]) == "none"
    assert morphemes(["old"], ["TokenizerConfig.morphemes=merges_and_text"]) == "merges_and_text"
    assert morphemes(["new"], ["TokenizerConfig.mode=plain"]) == "none"
    assert morphemes(["old"], ["TokenizerConfig.seed=1"]) == "none"
    with pytest.raises(ConfigError, match="morphemes=none and .*mode=plain are one setting"):
        load_experiment(DEMO, ["TokenizerConfig.morphemes=none", "TokenizerConfig.mode=plain"])


@pytest.mark.parametrize(
    "binding, advice",
    [
        ("total_steps=4", "write TrainConfig.total_steps"),
        ("x/TrainConfig.total_steps=5", "write TrainConfig.total_steps"),
        ("seed=1", "write TokenizerConfig.seed or TrainConfig.seed"),
        ("nothing=1", "write CLASS.FIELD, or remove it"),
        ("TrainConfig=3", "write CLASS.FIELD, or remove it"),
    ],
)
def test_a_binding_without_a_class_is_refused(binding, advice):
    with pytest.raises(ConfigError, match=f"--gin.{binding} is used by nothing.*{advice}"):
        load_experiment(DEMO, [binding])


@pytest.mark.parametrize("mode, morphemes", MORPHEMES_OF.items())
def test_the_old_name_of_morphemes_is_read_and_told_once(mode, morphemes, caplog):
    _log_once.cache_clear()
    for _ in range(2):
        tokenizer = load_experiment(DEMO, [f"TokenizerConfig.mode={mode}"]).tokenizer
        assert tokenizer == dataclasses.replace(tokenizer, morphemes=morphemes, mode="")
    (record,) = caplog.records
    assert (
        f"mode='{mode}' is the old name of TokenizerConfig.morphemes='{morphemes}'"
        in record.message
    )


def test_an_unknown_value_of_morphemes_is_refused_under_both_names():
    with pytest.raises(
        ConfigError, match="morphemes='train' is not merges, merges_and_text or none"
    ):
        TokenizerConfig(morphemes="train")
    with pytest.raises(ConfigError, match="mode='merges' is not train, encode or plain"):
        TokenizerConfig(mode="merges")


def test_two_names_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="mode='train' contradicts .*morphemes='none'"):
        TokenizerConfig(morphemes="none", mode="train")


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("total_steps = 5", 1, "total_steps = 5 is used by nothing.*write TrainConfig.total_steps"),
        ("\nsteps = 5", 2, "steps = 5 is used by nothing.*no value is %steps"),
        ("seed = 5", 1, "write TokenizerConfig.seed or TrainConfig.seed"),
        ("x/TrainConfig.total_steps = 5", 1, "no scope such as 'x'.*write TrainConfig.total_steps"),
        ("x/TrainConfig:\n  total_steps = 5", 1, "no scope such as 'x'.*write TrainConfig"),
        ("#\n\nTrainConfig.log_evry = 3", 3, "TrainConfig has no field named 'log_evry'"),
        ("TrainConfig:\n  seed = 3\n  log_evry = 3", 3, "TrainConfig has no field named"),
        (
            "Train.seed = 3",
            1,
            r"no class 'Train' \(is it TrainConfig.seed\?\); the classes are ModelConfig",
        ),
        ("\nTrainConfig.seed = ten", 2, "must be a whole number such as 10, not ten"),
        ("TrainConfig:\n  seed = ten", 2, "seed must be a whole number such as 10, not ten"),
        ("OptimizerConfig.learning_rate = nan", 1, "must be a number such as 0.1, not nan"),
        ("ModelConfig.qk_norm = true  # on", 1, "must be True or False, not true$"),
        ("DataConfig.input = my.txt", 1, "must be a string in quotes.*, not my.txt"),
        ("steps = ten", 1, "steps must be a number, a string in quotes, True or False, not ten"),
        ("TrainConfig.seed =", 1, "must be a whole number such as 10, and has no value"),
        ("TrainConfig.seed = 3 4", 1, "must be a whole number such as 10, not 3 4"),
        ("TrainConfig.seed = 3\nTrainConfig.seed = [\n\n", 2, "whole number such as 10, not ["),
        ("TrainConfig.seed", 1, "this is no statement of gin; write CLASS.FIELD = VALUE"),
        ("TrainConfig.seed = %foo", 1, "the macro %foo is not defined; write foo = VALUE"),
        ("a = %b\nb = %a\nTrainConfig.seed = %a", 3, "the macro %a is defined by itself"),
        ("TrainConfig.seed = @foo()", 1, "@foo is no value"),
        ("\nTrainConfig.seed = '3'", 2, "must be int, got '3'"),
        ("include 'no.gin'", 1, "no.gin does not exist in the working directory"),
        ("import no_such_module", 1, "No module named 'no_such_module'"),
    ],
)
def test_errors_of_a_gin_file_say_where_and_what_is_expected(text, line, message, tmp_path, caplog):
    path = tmp_path / "own.gin"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message.replace("[", "\\[")) as caught:
        load_experiment([*DEMO, str(path)], [])
    assert f"{path}:{line}: " in str(caught.value) and "\n" not in str(caught.value)
    assert not caplog.records


def test_a_macro_may_be_used_changed_and_overridden(tmp_path):
    path = tmp_path / "own.gin"
    path.write_text("TrainConfig.total_steps = %steps\nsteps = 50\nTrainConfig.eval_every = %n/a\n")
    train = load_experiment([*DEMO, str(path)], ["n/a=7"]).train
    assert (train.total_steps, train.eval_every) == (50, 7)
    train = load_experiment([*DEMO, str(path)], ["n/a=7", "steps=60"]).train
    assert train.total_steps == 60
    train = load_experiment([*DEMO, str(path)], ["n/a=7", "TrainConfig.total_steps=70"]).train
    assert train.total_steps == 70


def test_a_gin_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "own.gin"
    path.write_bytes("TrainConfig.seed = 3\n# 한국".encode("cp949"))
    with pytest.raises(ConfigError, match=f"^{path}:2 is not UTF-8"):
        load_experiment([str(path)], [])
    path.write_text(f"include '{path}'\n")
    with pytest.raises(ConfigError, match="own.gin:1: .* includes itself"):
        load_experiment([str(path)], [])


def test_a_file_includes_others_and_wins_over_them(tmp_path):
    path = tmp_path / "own.gin"
    path.write_text("include 'runs/demo.gin'\nhclx.TrainConfig.total_steps = 41\n")
    experiment = load_experiment([str(path)], [])
    assert (experiment.train.total_steps, experiment.model.d_model) == (41, 192)


@pytest.mark.parametrize(
    "binding, message",
    [
        ("total_steps=4", "^--gin.total_steps=4 is used by nothing.*write TrainConfig.total_steps"),
        ("x/TrainConfig.total_steps=5", "^--gin.x/TrainConfig.*write TrainConfig.total_steps"),
        ("TrainConfig.total_steps=ten", "^--gin.TrainConfig.total_steps=ten: .* such as 10, not"),
        ("ModelConfig.qk_norm=true", "^--gin.ModelConfig.qk_norm=true: .*True or False, not true"),
        ("TrainConfig.total_steps='x'", "must be int.*; set by --gin.TrainConfig.total_steps='x'"),
        ("ModelConfig.d_modle=3", "d_modle.*The fields of ModelConfig are vocab_size"),
        ("Model.d_model=3", "the classes are ModelConfig"),
        ("ModelConfig.num_layers=3", r"'num_layers' \(is it ModelConfig.n_layers\?\)"),
        ("DataConfig.inputs=data/comp", r"'inputs' \(is it DataConfig.input\?\)"),
        ("DataConfg.input=data/comp", r"no class 'DataConfg' \(is it DataConfig.input\?\)"),
        ("DataConfg.inputs=3", r"no class 'DataConfg' \(is it DataConfig.input\?\)"),
        ("DataConfig.seed=3", r"is it TokenizerConfig.seed or TrainConfig.seed\?"),
        ("inputs=data/comp", "names no class; write DataConfig.input$"),
        ("num_layers=3", "used by nothing.*; write ModelConfig.n_layers$"),
        ("x/TrainConfig.total_steps=ten", "used by nothing.*write TrainConfig.total_steps"),
        ("Foo.bar=x", "there is no class 'Foo'; the classes are"),
        ("ModelConfig.d_model", "has no value; write --gin.NAME=VALUE"),
        ("ModelConfig.d_model=three", "three"),
        ("ModelConfig.d_model=[", "gin"),
        ("TrainConfig.sequence_length=4096", "longer than ModelConfig.max_length"),
        ("TrainConfig.z_loss=1e999", "TrainConfig.z_loss=inf is not a finite number"),
        ("OptimizerConfig.warmup_steps=100000", "not below TrainConfig.total_steps"),
    ],
)
def test_bad_bindings(binding, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(DEMO, [binding])


def test_a_file_that_does_not_exist_lists_those_that_do():
    with pytest.raises(ConfigError, match="sizes/9b.gin does not exist.*82b.gin"):
        load_experiment(["gin_configs/sizes/9b.gin"], [])


@pytest.mark.parametrize("size", SIZES)
def test_gin_files_of_sizes_are_the_published_shapes(size):
    experiment = load_experiment([f"gin_configs/sizes/{size}.gin"], ["DataConfig.mixture=kowiki"])
    assert experiment.model == SIZES[size]


# The numbers of parameters that the cards of the models give; "without" those of the embedding and
# the head.
PUBLISHED = {
    # The tensors: [102400, 3584] twice; 28 layers of 2 x [3584, 3584], 2 x [512, 3584], 3 x [18944,
    # 3584], biases of 3584 + 2 x 512, and 2 norms; a norm.
    "ax_4_light_7b": (7_259_624_960, "with"),
    "exaone_3_5_2b4": (2_405_327_360, "with"),
    "exaone_3_5_7b8": (7_818_448_896, "with"),
    "exaone_3_5_32b": (30.95e9, "without"),
    "exaone_4_1b2": (1.07e9, "without"),
    "exaone_4_32b": (30.95e9, "without"),
    "hyperclovax_text_0b5": (566_281_216, "with"),  # two bytes each make the size of its file
    "hyperclovax_think_14b": (14.74e9, "with"),
    "kanana_nano_2b1": (4.174e9 / 2, "with"),  # bytes of its file, two a parameter
    "kogpt2_125m": (125e6, "with"),
    "kogpt_6b": (6_166_502_400, "with"),
    "midm_2_base_11b5": (23.09e9 / 2, "with"),  # bytes of its files
    # By the sizes in its config.json; the card says 2.3B.
    "midm_2_mini_2b3": (2_305_517_312, "with"),
    "polyglot_ko_1b3": (1_331_810_304, "with"),
    "polyglot_ko_3b8": (3_809_974_272, "with"),
    "polyglot_ko_5b8": (5_885_059_072, "with"),
    "polyglot_ko_12b8": (12.9e9, "with"),
    "qwen3_0b6": (596_049_920, "with"),
    "qwen3_1b7": (1_720_574_976, "with"),
    "qwen3_4b": (4_022_468_096, "with"),
    "qwen3_8b": (8_190_735_360, "with"),
    "qwen3_14b": (14_768_307_200, "with"),
    "qwen3_32b": (32_762_123_264, "with"),
    "solar_10b7": (10.73e9, "with"),
    # The tensors: [50304, 2048] twice; 24 layers of 4 x [2048, 2048], 3 x [5632, 2048] and 2 norms.
    "42dot_1b3": (1_439_270_912, "with"),
}


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("gin_configs/families/*.gin")), ids=lambda p: p.stem
)
def test_families_have_as_many_parameters_as_their_cards_say(path):
    model = load_experiment([str(path)], ["DataConfig.mixture=kowiki"]).model
    number, embeddings = PUBLISHED[path.stem]
    tables = (2 - model.tied_head) * model.vocab_size * model.d_model
    counted = n_params(model) - (tables if embeddings == "without" else 0)
    assert counted == number if isinstance(number, int) else abs(counted / number - 1) < 2e-3


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("gin_configs/**/*.gin")), ids=lambda path: path.stem
)
def test_every_gin_file_can_be_loaded(path):
    if "TuneConfig" in path.read_text():
        sections = load_sections(SECTIONS, [str(path)], ["DataConfig.input=rows.csv"])
        expected = {"embed": ("lora", "contrast"), "pair": ("lora", "pair")}
        tune = sections["tune"]
        assert (tune.kind, tune.objective) == expected.get(path.stem, (path.stem, "text"))
        return
    if "DistillConfig" in path.read_text():
        kinds = {"model": ModelConfig, **DISTILLATION}
        assert load_sections(kinds, [str(path)], ["DataConfig.input=rows.csv"])["distill"]
        return
    bindings = [] if "DataConfig" in path.read_text() else ["DataConfig.mixture=kowiki"]
    experiment = load_experiment([str(path)], bindings)
    assert all(
        dataclasses.asdict(getattr(experiment, f.name)) for f in dataclasses.fields(experiment)
    )


def test_a_file_that_is_no_gin_file_is_not_shown_whole(tmp_path):
    (tmp_path / "text.txt").write_text("가나다 " * 1000, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"text.txt:1: 가나다 .*\.\.\.: this is no statement"
    ) as error:
        load_experiment([str(tmp_path / "text.txt")], [])
    assert len(str(error.value)) < 400
