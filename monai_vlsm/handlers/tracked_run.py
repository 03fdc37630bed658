# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A run of MLflow that ends with what it tracks."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any, ClassVar, NoReturn

from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler

__all__ = ["TrackedRun"]

logger = logging.getLogger(__name__)


class TrackedRun(MLFlowHandler):
    """MONAI's handler for MLflow, which ends its run: FINISHED, or FAILED after an error.

    By itself MONAI ends runs of trainings and inferences that succeed; an evaluation, which it tracks as the validation
    of a training, and all that fails would be RUNNING for good. Here the first engine of a process that comes to a run
    ends it, so a validation leaves the run of its training alone.

    Without a name MONAI goes on with any run that did not finish, of whomever. Here handlers without one share a run of
    their process, until it ends.

    Attach it as the first handler: of those of EXCEPTION_RAISED, ignite calls none behind one that raises.
    """

    cur_run: Any  # MONAI's annotation knows None only
    _open: ClassVar[set[str]] = set()  # runs that an engine of this process will end
    _own_name: ClassVar[str] = ""  # of the run of handlers without a name

    def attach(self, engine: Engine) -> None:
        """Follow ``engine``, a trainer or an evaluator."""
        self._ends = False
        self._named = bool(self.run_name)
        self.close_on_complete = True
        engine.add_event_handler(Events.STARTED, _raise_last)  # before `start`, which may fail itself
        super().attach(engine)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def start(self, engine: Engine) -> None:
        """Begin a run, or join the one of this name that is going on."""
        if self.cur_run is not None and self.cur_run.info.run_id not in self._open:
            self.cur_run = None  # another engine ended it
        if not self._named:
            TrackedRun._own_name = self.run_name = self._own_name or _new_name()
        comes = self.cur_run is None
        try:
            super().start(engine)
        finally:
            if comes and self.cur_run is not None:
                self._ends = self.cur_run.info.run_id not in self._open
                self._open.add(self.cur_run.info.run_id)
        if self.cur_run.info.status != "RUNNING":  # one that failed, gone on with
            self.client.update_run(self.cur_run.info.run_id, "RUNNING")

    def close(self) -> None:
        """End the run as FINISHED, if it is that of this handler."""
        if self._ends and self.cur_run is not None:
            self._leave()
            super().close()

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if not self._ends or self.cur_run is None:
            return
        self._leave()
        try:
            self.client.set_terminated(self.cur_run.info.run_id, "FAILED")
        except (Exception, KeyboardInterrupt) as problem:  # a server that is gone, or is waited for: `error` says more
            name, why = self.cur_run.info.run_name, str(problem).partition("\n")[0] or type(problem).__name__
            logger.warning("the run %s of MLflow could not be marked as FAILED: %s", name, why)
        self.cur_run = None

    def _leave(self) -> None:
        self._open.discard(self.cur_run.info.run_id)
        if not self._named:
            TrackedRun._own_name = ""


def _new_name() -> str:
    return f"run_{time.strftime('%Y%m%d_%H%M%S')}_{secrets.token_hex(3)}"


def _raise_last(engine: Engine) -> None:
    """Behind all handlers of errors: ignite drops an error that none of them raises."""
    if not engine.has_event_handler(_raise, Events.EXCEPTION_RAISED):
        engine.add_event_handler(Events.EXCEPTION_RAISED, _raise)


def _raise(engine: Engine, error: BaseException) -> NoReturn:
    raise error
