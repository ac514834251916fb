"""The dialects that a server has with a store: administration, and tuning if it has a folder."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

from hclx.infer import Engine
from hclx.infer.model_source import RunFolder, ServedModel
from hclx.serve.admin_dialect import admin_dialect
from hclx.serve.backend import Backend
from hclx.serve.clova.clova_tasks import clova_tasks_dialect
from hclx.serve.dialect import Dialect
from hclx.serve.service import Service
from hclx.serve.store.database import Database
from hclx.serve.tuning.tuned_base import tuned_base
from hclx.serve.tuning.tuning_config import TuningConfig
from hclx.serve.tuning.tuning_dialect import tuning_dialect
from hclx.serve.tuning.tuning_files import TuningFiles
from hclx.serve.tuning.tuning_runner import TuningRunner
from hclx.serve.tuning.tuning_service import Tuning


@contextlib.contextmanager
def store_dialects(
    database: Database,
    source: RunFolder | ServedModel,
    engine: Engine,
    backend: Backend,
    tuning_dir: str | None,
    config: TuningConfig = TuningConfig(),
) -> Iterator[Sequence[Callable[[Service], Dialect]]]:
    """Yields what makes the dialects. Jobs of tuning run, and their models are served, as long as
    the context.

    Args:
      database: the store.
      source, engine, backend: what is served.
      tuning_dir: takes the files of tuning; None: there is none.
      config: the limits of tuning.
    Raises:
      ConfigError: the model cannot be tuned here.
      StorageError: the folder cannot be made, or the store cannot be read.
    """
    admin = functools.partial(admin_dialect, database=database)
    if tuning_dir is None:
        yield [admin]
        return
    base, files = tuned_base(source, engine, backend), TuningFiles(tuning_dir)
    tuning = Tuning(database, files, base, config)
    with TuningRunner(database, files, base, config) as runner:

        def of_tuning(service: Service) -> Dialect:
            runner.is_draining = lambda: service.admission.is_draining
            return tuning_dialect(service, tuning)

        yield [admin, of_tuning, functools.partial(clova_tasks_dialect, tuning=tuning)]
