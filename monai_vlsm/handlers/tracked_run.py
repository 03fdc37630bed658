# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A run of MLflow that ends with what it tracks."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler

__all__ = ["TrackedRun"]


class TrackedRun(MLFlowHandler):
    """MONAI's handler for MLflow, which ends its run: FINISHED, or FAILED after an error.

    By itself MONAI ends runs of trainings and inferences that succeed; an evaluation, which it tracks as the validation
    of a training, and all that fails would be RUNNING for good. Here the first engine of a process that comes to a run
    ends it, so a validation leaves the run of its training alone.

    Attach it as the first handler: of those of EXCEPTION_RAISED, ignite calls none behind one that raises.
    """

    cur_run: Any  # MONAI's annotation knows None only
    _open: ClassVar[set[str]] = set()  # runs that an engine of this process will end

    def attach(self, engine: Engine) -> None:
        """Follow ``engine``, a trainer or an evaluator."""
        self._ends = False
        self.close_on_complete = True
        super().attach(engine)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def start(self, engine: Engine) -> None:
        """Begin a run, or join the one of this name that is going on."""
        super().start(engine)
        run = self.cur_run.info
        self._ends = self._ends or run.run_id not in self._open
        self._open.add(run.run_id)
        if run.status != "RUNNING":  # one that failed, gone on with
            self.client.update_run(run.run_id, "RUNNING")
        if not engine.has_event_handler(_raise, Events.EXCEPTION_RAISED):  # ignite drops an error that nobody raises
            engine.add_event_handler(Events.EXCEPTION_RAISED, _raise)

    def close(self) -> None:
        """End the run as FINISHED, if it is that of this handler."""
        if self._ends and self.cur_run is not None:
            self._open.discard(self.cur_run.info.run_id)
            super().close()

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if self._ends and self.cur_run is not None:
            self.client.set_terminated(self.cur_run.info.run_id, "FAILED")
            self._open.discard(self.cur_run.info.run_id)
            self.cur_run = None


def _raise(engine: Engine, error: BaseException) -> NoReturn:
    raise error
