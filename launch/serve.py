"""Serves a model over HTTP, as OpenAI's clients ask for it: hclx serve --model_dir=runs/demo

It listens at 127.0.0.1:8000 and lets everyone in who reaches it there, or with --store those who
have a key. With --studio_dir it has the pages of the Studio, and prints a link that opens them.
SIGTERM and Ctrl-C end it once its requests have ended. See docs/serving.md and docs/studio.md.
"""

import contextlib

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import run
from hclx.shared_flags import MOST_SECONDS, ModelFlags
from hclx.studio.studio_flags import StoreFlags

MODEL = ModelFlags(takes_artefacts=True)
HOST = flags.DEFINE_string("host", "127.0.0.1", "The address to listen at; 0.0.0.0: all.")
PORT = flags.DEFINE_integer("port", 8000, "The port of it.", 1, 65_535)
NAME = flags.DEFINE_string("name", None, "The model's name for clients; default: its folder's.")
STORE = StoreFlags()
ROWS = flags.DEFINE_integer("rows", 8, "Requests that are served at once.", lower_bound=1)
WARM_UP = flags.DEFINE_bool("warm_up", False, "Compile all programs before the first request.")
HOSTS = flags.DEFINE_multi_string(
    "allowed_host", [], "A name by which clients reach it, besides localhost; *: any; repeatable."
)
ORIGINS = flags.DEFINE_multi_string(
    "allowed_origin", [], "Where pages are from whose scripts may call; repeatable."
)
PROXIES = flags.DEFINE_multi_string(
    "trusted_proxy", [], "An address whose X-Forwarded-Proto and -For are believed; repeatable."
)
QUEUE = flags.DEFINE_float(
    "queue_seconds",
    60,
    "How long a request waits for its turn before it gets 503.",
    0.1,
    MOST_SECONDS,
)
DRAIN = flags.DEFINE_integer(
    "drain_seconds", 30, "How long requests may go on at the end.", 1, MOST_SECONDS
)
FILTER = flags.DEFINE_string("filter", None, "A filter of `hclx train_output_filter`.")
BLOCK = flags.DEFINE_integer(
    "block", None, "End texts that the filter gives this level, 0, or 0 or 1; default: none.", 0, 1
)
MASK_PII = flags.DEFINE_bool("mask_pii", False, "Mask personal data in texts.")


def main(_):
    if not MODEL.has_value:
        raise ConfigError("--model_dir or --engine is missing; --help lists the options")
    STORE.check(MODEL.has_folder)
    from hclx.serve.safety.filter_file import open_rules
    from hclx.serve.serve_config import ServeConfig
    from hclx.serve.serve_model import check_address, serve_model

    check_address(HOST.value, PORT.value, is_open=not STORE.has_store)
    config = ServeConfig(
        running_texts=ROWS.value + 2,  # those behind the rows are of other keys
        texts_of_key=ROWS.value,
        queue_seconds=QUEUE.value,
        drain_seconds=DRAIN.value,
        hosts=(HOST.value, *HOSTS.value),
        origins=(*ORIGINS.value,),
        trusted_proxies=(*PROXIES.value,),
    )
    rules = open_rules(FILTER.value, BLOCK.value, MASK_PII.value)
    source = MODEL.source(ROWS.value, names_artefacts=True)
    address = HOST.value, PORT.value
    # Whatever ends the server closes the engine.
    with contextlib.suppress(KeyboardInterrupt), STORE.open_keys() as keys:
        serve_model(
            *(source, NAME.value, MODEL.reading(), config, *address),
            warms_up=WARM_UP.value,
            keys=keys,
            rules=rules,
            tuning_dir=STORE.tuning_dir(MODEL.has_folder),
            tuning=STORE.tuning,
            **STORE.additions(keys, MODEL.has_folder, *address),
        )


if __name__ == "__main__":
    run(main)
