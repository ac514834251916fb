"""An adapter for lm-evaluation-harness: the model `hclx` of its tasks.

The harness knows no plug-ins, so that this module has to be imported before it is asked for the
model; `hclx lm_eval` does both:

    hclx lm_eval run --model=hclx --model_args=model_dir=runs/demo --tasks=kobest
"""

import atexit
import logging
from collections.abc import Sequence
from pathlib import Path

import jax
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from hclx.errors import ConfigError, require, shown
from hclx.infer.engine import Engine, GenerateRequest, ScoreRequest
from hclx.infer.model_source import RunFolder
from hclx.infer.sampling import SamplingConfig
from hclx.parallel import start_processes
from hclx.text import Tokenizer

_LOG = logging.getLogger(__name__)
_ROWS = 8  # requests at once, unless `batch_size` says otherwise
_TOGETHER = 256  # requests of one call: the engine reads once what they share
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
Pair = tuple[tuple[str, str] | None, list[int], list[int]]


@register_model("hclx")
class HarnessModel(TemplateLM):
    """A model over an engine that takes token ids. Texts are encoded as by the harness' own backend
    `hf`, so that both give the same log-likelihoods of one model.
    """

    def __init__(
        self,
        model_dir: str | None = None,
        step: int | None = None,
        dtype: str | None = None,
        batch_size: int | str = 1,
        add_bos_token: bool | None = None,
        prefix_token_id: int | None = None,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        seed: int = 0,
        engine: Engine | None = None,
        tokenizer: Tokenizer | None = None,
        device: str | None = None,
        max_batch_size: int | None = None,
        coordinator: str | None = None,
        num_processes: int | None = None,
        process_id: int | None = None,
    ):
        """Loads a run, or takes an engine that is open.

        Args:
          model_dir, step, dtype: of a run; see `hclx.infer.load_for_inference`.
          batch_size: the requests that are served at once; 1, the harness' default, and "auto" mean
            8, because the engine needs no padding.
          add_bos_token: whether texts begin with the token that begins documents; None: as the
            tokenizer's documents do, which is yes.
          prefix_token_id: the token before texts without a context; None: that which begins
            documents.
          max_length: the most tokens of a text, which loses its beginning beyond; None: those of
            the model.
          max_gen_toks: the most new tokens where a task does not say.
          seed: of the first text that is sampled; the next ones have the next seeds.
          engine, tokenizer: in place of `model_dir`, with `max_length`.
          device, max_batch_size: have no effect: the harness gives them to every model, and which
            devices there are is JAX's to say (`JAX_PLATFORMS`).
        Raises:
          ConfigError: there is neither a run nor an engine.
        """
        super().__init__()
        if (model_dir is None) == (engine is None):
            raise ConfigError("give model_dir, the folder of a run, or in Python an open engine")
        if engine is None:
            start_processes(coordinator, process_id, num_processes)
            source = RunFolder(model_dir, step, dtype, _rows(batch_size))
            engine = source.open()
            if jax.process_index() != 0:  # it has followed process 0 to its end
                raise SystemExit(0)
            atexit.register(engine.close)  # the harness does not say when it is done
            tokenizer, longest = source.reads.tokenizer, source.reads.max_length
            max_length = min(max_length or longest, longest)
        if tokenizer is None or max_length is None:
            raise ConfigError("an engine needs the model's tokenizer and max_length beside it")
        self.engine, self.max_length, self.max_gen_toks = engine, max_length, max_gen_toks
        self._text, self._begins = tokenizer, add_bos_token is not False
        self._prefix_token_id, self._seed = prefix_token_id, seed
        if getattr(tokenizer, "chat_template", ""):
            self.tokenizer = _of_transformers(tokenizer.folder)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a document."""
        return self._text.eod_id

    @property
    def prefix_token_id(self) -> int:
        """The token before texts without a context."""
        own = self._prefix_token_id
        return self._text.begin_ids[-1] if own is None else own

    @property
    def tokenizer_name(self) -> str:
        """The name under which the harness keeps chats."""
        return self._text.fingerprint

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_) -> list[int]:
        """Returns the ids of a text. Special tokens that a text spells are meant where there is a
        template of chats; a text that has its own beginning gets no second one.
        """
        begin = self._text.begin_ids
        if self.tokenizer is None:
            ids = self._text.encode(string)
        else:
            ids = self.tokenizer.encode(string, add_special_tokens=False)
        has_begin = add_special_tokens is None and ids[: len(begin)] == begin
        begins = self._begins if add_special_tokens is None else add_special_tokens
        return [*begin, *ids] if begins and not has_begin else ids

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Writes a chat as the model's template has it. Raises ConfigError if it has none."""
        if self.tokenizer is None:
            raise ConfigError("the tokenizer has no template of chats; leave --apply_chat_template")
        return self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def _loglikelihood_tokens(
        self, requests: Sequence[Pair], disable_tqdm: bool = False, **_
    ) -> list[tuple[float, bool]]:
        asked, n_long = [], 0
        for _, context, continuation in requests:
            if len(continuation) > self.max_length:
                raise ConfigError(
                    f"a continuation has {len(continuation)} tokens, and the model reads"
                    f" {self.max_length}; leave out the task, or give a larger max_length"
                )
            # The last token is scored and not read.
            room = self.max_length + 1 - len(continuation)
            n_long += len(context) > room
            asked.append(ScoreRequest(tuple(context[-room:]), tuple(continuation)))
        if n_long:
            _LOG.warning(
                "%d of %d texts lose their beginning, because the model reads %d tokens",
                *(n_long, len(requests), self.max_length),
            )
        answers = []
        with tqdm(asked, "scoring", disable=disable_tqdm) as progress:
            for begin in range(0, len(asked), _TOGETHER):
                scores = self.engine.score(asked[begin : begin + _TOGETHER])
                progress.update(len(scores))
                answers += [(score.total, score.is_greedy) for score in scores]
                for (texts, _, _), answer in zip(requests[begin:], answers[begin:]):
                    if texts is not None:
                        self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Returns the log-likelihood of each text, in windows of `max_length` tokens of which each
        but the first reads the last token of the one before.
        """
        windows = []
        for number, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            of_text = get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, 1)
            windows += [(number, *make_disjoint_window(window)) for window in of_text]
        scored = self._loglikelihood_tokens([(None, *pair) for _, *pair in windows], disable_tqdm)
        totals = [0.0] * len(requests)
        for (number, *_), (total, _) in zip(windows, scored):
            totals[number] += total
        for request, total in zip(requests, totals):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Returns the continuation of each text, up to the first of its stop texts."""
        tickets = []
        for number, request in enumerate(requests):
            context, settings = request.args
            sampling = self._sampling(settings, self._seed + number)
            room = self.max_length - sampling.max_tokens
            if room < 1:
                raise ConfigError(
                    f"max_gen_toks={sampling.max_tokens} leaves no room for a prompt, because the"
                    f" model reads {self.max_length} tokens; give fewer in --gen_kwargs"
                )
            ids = tuple(self.tok_encode(context)[-room:])
            tickets.append(self.engine.submit(GenerateRequest(ids, sampling)))
        texts = []
        for request, ticket in zip(requests, tqdm(tickets, "generating", disable=disable_tqdm)):
            texts.append(ticket.result().text)
            self.cache_hook.add_partial("generate_until", request.args, texts[-1])
        return texts

    def _sampling(self, settings: dict, seed: int) -> SamplingConfig:
        """Returns the settings of a task, where what it leaves out changes nothing."""
        settings = dict(normalize_gen_kwargs(settings, self.max_gen_toks))
        stop = tuple(text for text in settings.pop("until") if text)
        max_tokens, does_sample = settings.pop("max_gen_toks"), settings.pop("do_sample", False)
        known = {name: settings.pop(name) for name in _SAMPLING if name in settings}
        if settings:
            raise ConfigError(
                f"--gen_kwargs has {shown(settings)}, which the engine has not; it has until,"
                f" max_gen_toks, do_sample, {', '.join(_SAMPLING)}"
            )
        known = {"top_p": 1.0, **known, "temperature": known.get("temperature", 1.0) * does_sample}
        return SamplingConfig(max_tokens=max_tokens, seed=seed, stop=stop, **known)


def _rows(batch_size: int | str) -> int:
    """Returns the requests that are served at once."""
    is_default = str(batch_size) == "1" or str(batch_size).startswith("auto")
    return _ROWS if is_default else int(batch_size)


def _of_transformers(folder: Path):
    """The tokenizer of a folder, with its template of chats; it reads tokenizer.json as it is."""
    require("transformers")
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder)
