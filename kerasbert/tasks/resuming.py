"""Trainings that can be interrupted and go on, with ``model.fit``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from kerasbert.backend import keras, tf


class Resume(keras.callbacks.Callback):
    """Keeps in a folder, after every epoch, all that is needed to go on::

        model.compile(...)
        resume = Resume(model, "output", monitor="val_loss")
        model.fit(train, validation_data=dev, epochs=10, initial_epoch=resume.epoch,
                  callbacks=[resume])
        resume.restore_best()

    The same lines in another process go on after the last whole epoch: weights, the optimizer's
    state and the history are those of then. A file is there whole or not at all.

    Args:
        model: compiled.
        folder: where to keep it; made if it is not there.
        monitor: the number of the logs by which the best epoch is chosen; its weights are kept.
        mode: whether the best is the "min" or "max".
        settings: what the training depends on (numbers, texts). A folder that holds a training
            with other settings is refused.

    Attributes:
        epoch: whole epochs so far.
        history: the logs of all epochs, those of earlier processes too: lists by name.

    Raises:
        ValueError: the folder holds a training with other settings.
    """

    def __init__(
        self,
        model: keras.Model,
        folder: str | os.PathLike,
        monitor: str = "val_loss",
        mode: str = "min",
        settings: Mapping | None = None,
    ):
        super().__init__()
        if mode not in ("min", "max"):
            raise ValueError(f'mode must be "min" or "max", got {mode!r}.')
        self.folder, self.monitor, self.sign = Path(folder), monitor, 1 if mode == "max" else -1
        self._keep(dict(settings or {}))
        model.optimizer.build(model.trainable_variables)
        self._epoch = tf.Variable(0, dtype=tf.int64)
        self._history = tf.Variable("{}")
        self._weights = tf.train.Checkpoint(weights=model.weights)
        state = {"model": model, "optimizer": model.optimizer}
        state = tf.train.Checkpoint(**state, epoch=self._epoch, history=self._history)
        self._manager = tf.train.CheckpointManager(state, str(self.folder / "state"), max_to_keep=1)
        self._manager.restore_or_initialize()

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    @property
    def history(self) -> dict[str, list[float]]:
        return json.loads(self._history.numpy())

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if self.monitor not in logs:
            raise ValueError(f"monitor={self.monitor!r} is not in the logs: {sorted(logs)}.")
        history = self.history
        before = [self.sign * value for value in history.get(self.monitor, [])]
        if self.sign * logs[self.monitor] > max(before, default=-float("inf")):
            self._weights.write(str(self.folder / "best"))
        for name, value in logs.items():
            history.setdefault(name, []).append(value)
        self._history.assign(json.dumps(history))
        self._epoch.assign(epoch + 1)
        self._manager.save()

    def restore_best(self) -> float | None:
        """Gives the model the weights of the best epoch.

        Returns:
            What was monitored then; None where no epoch was finished.
        """
        values = self.history.get(self.monitor)
        if not values:
            return None
        self._weights.read(str(self.folder / "best")).assert_existing_objects_matched()
        return self.sign * max(self.sign * value for value in values)

    def _keep(self, settings: dict) -> None:
        path = self.folder / "settings.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else settings
        if kept != settings:
            raise ValueError(
                f"{self.folder} holds a training with other settings ({kept}): name another folder."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
