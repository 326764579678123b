"""Who works on which trial: every trial once, whoever dies, on one machine or on many.

A trial of Optuna is one attempt at a slot. The first attempt's number is the slot's; an attempt whose process died is
failed without a reason, and another one with the same values goes on in the same run folder. Of several attempts at a
slot the first that still counts is the one, so that two who repair the same slot do not work twice.
"""

import contextlib
import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from innerloop.core import files
from innerloop.core.errors import InputError
from innerloop.studies.storage import BEAT, GRACE, failures, late, library, quiet

SLOT, HOST, FOLDER, REASON, SURPLUS = "slot", "host", "folder", "reason", "surplus"
"""Attributes of a trial: which slot it is for, where it runs, why it failed, and that it was one too many."""
OUTCOME = "trial.json"
"""In the folder of a trial: what became of it, written before the storage knows."""
_WAIT = 0.5


class Claim(NamedTuple):
    """A trial that this process works on."""

    trial: Any
    """A trial of Optuna."""
    slot: int
    folder: Path
    again: bool
    """Whether somebody else began it."""


class Board:
    """The trials of a study, and which of them are free.

    Args:
        study: Of Optuna.
        storage: Of the study.
        trials: How many slots there are to be.
        out: Folder of the study on this machine.
        usual: Parameters of the first trial.
    """

    def __init__(self, study: Any, storage: Any, trials: int, out: Path, usual: Mapping[str, Any]):
        self.study, self.storage, self.trials, self.out = study, storage, trials, out
        self.usual = dict(usual)
        self.states = library().trial.TrialState

    def slots(self) -> dict[int, list[Any]]:
        """All attempts that count, by slot, in order: those of the first slots, as many as there are to be."""
        with quiet():
            attempts = [t for t in self.study.get_trials(deepcopy=False) if not t.user_attrs.get(SURPLUS)]
        slots: dict[int, list[Any]] = {}
        for one in attempts:
            slots.setdefault(one.user_attrs.get(SLOT, one.number), []).append(one)
        return {slot: slots[slot] for slot in sorted(slots)[: self.trials]}

    def chosen(self) -> dict[int, Any]:
        """The attempt of each slot that counts; none of a slot whose attempts all died."""
        return {slot: one for slot, attempts in self.slots().items() if (one := self._first(attempts)) is not None}

    def finished(self) -> list[Any]:
        """Trials that are over: complete, pruned, or failed for a reason, by slot."""
        return [one for one in self.chosen().values() if one.state.is_finished()]

    def take(self) -> Claim | None:
        """A trial to work on inside of `held`; None: all are over. Waits while others still work, who may die."""
        while True:
            self._repair()
            slots = self.chosen()
            if len(slots) == self.trials and all(one.state.is_finished() for one in slots.values()):
                return None
            free = len(self.slots()) < self.trials or any(t.state == self.states.WAITING for t in slots.values())
            claim = self._claim() if free else None
            if claim is not None:
                return claim
            time.sleep(_WAIT)

    def release(self, claim: Claim) -> None:
        """Give a trial back that this process does not finish; whoever takes it goes on where it was saved."""
        with quiet(), contextlib.suppress(*late()):
            self.storage.set_trial_state_values(claim.trial._trial_id, state=self.states.FAIL)
        self._repair()

    def store(self, trial_id: int, outcome: Mapping[str, Any]) -> bool:
        """Keep what became of a trial; False: it was given to somebody else meanwhile."""
        state, value = self.states[outcome["state"]], outcome.get("value")
        try:
            if outcome.get(REASON):
                self.storage.set_trial_user_attr(trial_id, REASON, str(outcome[REASON])[:1000])
            for key in ("steps", "cpu_seconds", "values"):
                self.storage.set_trial_user_attr(trial_id, key, outcome.get(key))
            values = [value] if state != self.states.FAIL and value is not None else None
            return bool(self.storage.set_trial_state_values(trial_id, state, values))
        except late():
            return False

    def _claim(self) -> Claim | None:
        """Take a trial that waits, or begin one; None: somebody else was faster, or there is none to begin."""
        with quiet():
            trial = self.study.ask()
        try:
            return self._begun(trial)
        except late():  # this process stood still so long that the trial was given away
            return None

    def _begun(self, trial: Any) -> Claim | None:
        self.storage.record_heartbeat(trial._trial_id)
        slot = trial.user_attrs.get(SLOT, trial.number)
        folder = self.out / "trials" / f"{slot:04d}"
        for key, value in {SLOT: slot, HOST: socket.gethostname(), FOLDER: str(folder.resolve())}.items():
            trial.set_user_attr(key, value)
        slots = self.slots()
        first = self._first(slots.get(slot, ()))
        if first is None or first.number != trial.number:
            trial.set_user_attr(SURPLUS, True)
            self.storage.set_trial_state_values(trial._trial_id, state=self.states.FAIL)
            return None
        if slot == 0 and not trial.params:
            self.storage.set_trial_system_attr(trial._trial_id, "fixed_params", self.usual)
            trial = library().Trial(self.study, trial._trial_id)
        folder.mkdir(parents=True, exist_ok=True)
        return Claim(trial, slot, folder, trial.number != slot)

    @contextlib.contextmanager
    def held(self, claim: Claim) -> Iterator[None]:
        """Signs of life of a trial: a lock that ends with the process, and a beat for other machines."""
        lock = _lock(claim.folder)
        lock.touch()
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT):
                with quiet(), contextlib.suppress(*failures()):
                    self.storage.record_heartbeat(claim.trial._trial_id)

        thread = threading.Thread(target=beat, daemon=True, name=f"trial {claim.slot}")
        thread.start()
        try:
            # However long it takes: whoever has it is at work on the same, though the trial was given away.
            with files.locked(lock, math.inf):
                yield
        finally:
            over.set()
            thread.join()

    def _repair(self) -> None:
        """Give trials back whose processes are gone, and see that every slot has somebody to work on it."""
        optuna = library()
        for one in [t for attempts in self.slots().values() for t in attempts if t.state == self.states.RUNNING]:
            if not self._dead(one):
                continue
            outcome = read_outcome(one)
            if outcome is not None:  # it was over, and nobody could say so
                self.store(one._trial_id, outcome)
                continue
            with quiet(), contextlib.suppress(*late()):
                self.storage.set_trial_state_values(one._trial_id, state=self.states.FAIL)
        with quiet():
            optuna.storages.fail_stale_trials(self.study)
        for slot, attempts in self.slots().items():
            if self._first(attempts) is None:
                last = attempts[-1]
                again = optuna.trial.create_trial(
                    state=self.states.WAITING,
                    params=last.params,
                    distributions=last.distributions,
                    user_attrs=last.user_attrs | {SLOT: slot},
                    system_attrs={k: v for k, v in last.system_attrs.items() if k == "fixed_params"},
                    intermediate_values=last.intermediate_values,
                )
                with quiet():
                    self.study.add_trial(again)

    def _first(self, attempts: Any) -> Any:
        """The first attempt that counts."""
        died = (t.state == self.states.FAIL and not t.user_attrs.get(REASON) for t in attempts)
        return next((t for t, dead in zip(attempts, died, strict=True) if not dead), None)

    def _dead(self, one: Any) -> bool:
        """Whether the process of a running trial is gone for certain; of other machines, the storage tells later."""
        age = datetime.now() - one.datetime_start
        if not {HOST, FOLDER} <= one.user_attrs.keys():  # it died, or is about to say where it is
            return age > timedelta(seconds=GRACE)
        # From being taken to its lock it takes milliseconds.
        if one.user_attrs[HOST] != socket.gethostname() or os.name == "nt" or age < timedelta(seconds=BEAT):
            return False
        lock = _lock(Path(one.user_attrs[FOLDER]))
        if not lock.is_file():  # a machine of the same name, or it died before it began: the storage tells later
            return False
        try:
            with files.locked(lock, 0):
                return True
        except InputError:
            return False


def read_outcome(one: Any) -> dict[str, Any] | None:
    """What the folder of a trial says became of it; None: nothing, or it is not here."""
    folder = one.user_attrs.get(FOLDER)
    try:
        outcome = json.loads((Path(folder) / OUTCOME).read_text(encoding="utf-8")) if folder else None
    except (OSError, ValueError):
        return None
    return outcome if isinstance(outcome, dict) and "state" in outcome else None


def _lock(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.lock"
