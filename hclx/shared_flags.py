"""Options that several scripts of launch/ share."""

from collections.abc import Callable

from absl import flags

flags.disclaim_key_flags()  # options that are defined here belong to the scripts, in --help too

MOST_SECONDS = 31_536_000  # of an option, a year: the clocks of other libraries hold no more


class _WholeNumbers(flags.ArgumentParser):
    """Reads whole numbers from 0 on with commas between them, as a tuple."""

    syntactic_help = "whole numbers with commas between them"

    def parse(self, argument: str) -> tuple[int, ...]:
        """Raises ValueError for other texts."""
        try:
            numbers = tuple(map(int, argument.split(",")))
        except ValueError:
            numbers = (-1,)
        if min(numbers) < 0:
            raise ValueError("give whole numbers from 0 on, such as 0,4,16")
        return numbers

    def flag_type(self) -> str:
        """See absl."""
        return "whole numbers"


class NumbersFlag:
    """An option with several whole numbers from 0 on: --shots=0,4 or --shots=0 --shots=4.

    Attributes:
      value: the numbers, in their order; [] by default.
    """

    def __init__(self, name: str, text: str):
        """Defines the option."""
        parser = _WholeNumbers()
        serializer = flags.CsvListSerializer(",")
        self._holder = flags.DEFINE_multi(parser, serializer, name, [], text)

    @property
    def value(self) -> list[int]:
        """The numbers."""
        return [number for numbers in self._holder.value for number in numbers]


class RunFlags:
    """The options of a start of a run that do not change what it computes."""

    def __init__(self):
        """Defines the options."""
        text = "Seconds without progress before it ends; 0: never."
        self._step_timeout = flags.DEFINE_float("step_timeout", 1800, text, 0, MOST_SECONDS)
        text = "Seconds until the lock of a silent run is taken over."
        self._lease = flags.DEFINE_float("lease_seconds", 30, text, 1, MOST_SECONDS)
        text = "Seconds that processes wait for each other to save."
        self._save_timeout = flags.DEFINE_integer("save_timeout", 600, text, 1, MOST_SECONDS)
        text = "Write which examples each step saw to MODEL_DIR/examples."
        self._log_examples = flags.DEFINE_bool("log_examples", False, text)
        text = "Resume with another batch size or precision."
        self._allow_changes = flags.DEFINE_bool("allow_changes", False, text)

    def values(self) -> dict[str, float | int | bool]:
        """Returns the fields of `hclx.train.run.RunOptions` by their names."""
        return {
            "step_timeout": self._step_timeout.value,
            "lease_seconds": self._lease.value,
            "save_timeout": self._save_timeout.value,
            "log_examples": self._log_examples.value,
            "allow_changes": self._allow_changes.value,
        }


def dtype_flag() -> flags.FlagHolder:
    """Defines the option by which a command for inference chooses a dtype: see
    `hclx.infer.load_for_inference`.
    """
    text = "Of weights, activations and KV cache; default: float32 on a CPU, bfloat16 elsewhere."
    text += " int8: the weights of the blocks alone."
    return flags.DEFINE_enum("dtype", None, ["float32", "bfloat16", "int8"], text)


def process_flags() -> Callable[[], None]:
    """Defines the options by which the processes of a run find each other; returns the function
    that connects this one to the others by their values: see `hclx.parallel.start_processes`.
    """
    define, address = flags.DEFINE_integer, "HOST:PORT of process 0, to which the others connect."
    coordinator = flags.DEFINE_string("coordinator", None, address)
    number = define("num_processes", None, "Processes, each started with this command.", 1)
    process_id = define("process_id", None, "The number of this process, from 0.", 0)
    heartbeat = define(
        *("heartbeat_seconds", 100, "Seconds after which the others end if a process died."),
        *(1, MOST_SECONDS),
    )
    join = define(
        *("join_seconds", 300, "Seconds that processes wait for each other at start."),
        *(1, MOST_SECONDS),
    )

    def connect() -> None:
        from hclx.parallel import start_processes

        times = {"heartbeat_seconds": heartbeat.value, "join_seconds": join.value}
        start_processes(coordinator.value, process_id.value, number.value, **times)

    return connect


class EngineFlags:
    """The options by which a command finds the engine of a model: in the folder of a run, or at a
    server.
    """

    def __init__(self, takes_artefacts: bool = False):
        """Defines the options, those of artefacts among them if the command takes some."""
        text, number = flags.DEFINE_string, flags.DEFINE_integer
        self._model_dir = text("model_dir", None, "The folder of a run, or of transformers.")
        self._step = number("step", None, "The checkpoint to use; default: the newest.", 0)
        self._dtype = dtype_flag()
        devices = "Devices that share the heads; 0: one, or all of several processes."
        self._shards = number("model_shards", 0, devices, 0)
        self._connect = process_flags()
        address = "The address of a server of OpenAI's completions, in place of a folder; the"
        address += " environment has its key as HCLX_ENGINE_KEY."
        self._engine = text("engine", None, address)
        self._model = text("model", None, "Its model; default: the only one that it has.")
        self._artefacts = None
        if takes_artefacts:
            what = "What `hclx tune` made for this model: FILE, for all texts; or NAME=FILE, for"
            what += " requests or lines of --prompts that name it; repeatable."
            self._artefacts = flags.DEFINE_multi_string("artefact", [], what)

    @property
    def has_value(self) -> bool:
        """Returns whether a folder or a server was named."""
        return bool(self._model_dir.value or self._engine.value)

    @property
    def has_folder(self) -> bool:
        """Returns whether a folder was named."""
        return bool(self._model_dir.value)

    def source(self, rows: int, names_artefacts: bool = False):
        """Returns the source of the model, see `hclx.infer.model_source`, once the processes of a
        run are connected; `rows` requests are served at once, which may name artefacts or not.
        """
        from hclx.infer.model_source import model_source

        model_dir = self._model_dir.value
        if model_dir:
            from hclx.convert.imported_run import run_of_folder

            model_dir = run_of_folder(model_dir)
            self._connect()
        of_run = (model_dir, self._step.value, self._dtype.value)
        served = (self._engine.value, self._model.value)
        artefacts = None
        if self._artefacts is not None and self._artefacts.value:
            from hclx.tune.serving import read_artefacts

            artefacts = read_artefacts(self._artefacts.value, names_artefacts)
        return model_source(*of_run, *served, rows, self._shards.value, artefacts)


class ModelFlags(EngineFlags):
    """The options by which a command finds a model and how it reads, which a server does not
    tell.
    """

    def __init__(self, takes_artefacts: bool = False):
        """Defines the options; see `EngineFlags`."""
        super().__init__(takes_artefacts)
        folder = "The tokenizer of a server's model."
        self._tokenizer = flags.DEFINE_string("tokenizer_dir", None, folder)
        tokens = "Tokens that are read at once; default: all that the model reads."
        self._max_length = flags.DEFINE_integer("max_length", None, tokens, 2)

    def reading(self) -> tuple[str | None, int | None]:
        """Returns the tokenizer's folder and the length, as `hclx.evaluate.item_prompts.reader_of`
        takes them.
        """
        return self._tokenizer.value, self._max_length.value
