"""What a run needs to go on: kept in the output folder, whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kerasbert.tokenizers.vocabulary import write_whole

if TYPE_CHECKING:
    from pretraining.settings import Settings

logger = logging.getLogger("kerasbert")

SETTINGS = "settings.json"
# What TensorFlow raises for files that are cut, mixed up or of another model.
_UNREADABLE = (tf.errors.OpError, ValueError, AssertionError, IndexError, KeyError, RuntimeError)


class State:
    """Checkpoints of weights, optimizer, averages, loss scale and step.

    The step is the data position and the random state too: batches, masks and dropout are made of
    it. A checkpoint counts once its index is written, which is last; the one before is deleted
    after that. TensorFlow's object graph differs between Keras 2 and 3: a run is resumed on the
    stack that it was begun on.

    Args:
        folder: of the run.
        keep: how many checkpoints are kept.
        chief: whether this process writes into the folder; the others, which have to take part
            where variables are distributed, write into a folder of their own and delete it.
        **parts: what is kept, by name: trackable objects of TensorFlow.

    Attributes:
        step: number of steps done, an int64 variable.
    """

    def __init__(self, folder: Path, keep: int, chief: bool, **parts):
        self.folder, self.chief = folder, chief
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.checkpoint = tf.train.Checkpoint(step=self.step, **parts)
        target = folder / "state"
        if not chief:
            target = folder / f"state-of-worker-{os.getpid()}"
        self.manager = tf.train.CheckpointManager(self.checkpoint, str(target), max_to_keep=keep)

    def restore(self) -> int:
        """Takes up the newest checkpoint that can be read.

        Returns:
            The number of steps done; 0 where there is no checkpoint.

        Raises:
            ValueError: there are checkpoints, and none of them can be read.
        """
        found = tf.train.get_checkpoint_state(str(self.folder / "state"))
        paths = list(reversed(found.all_model_checkpoint_paths)) if found else []
        problems = []
        for path in paths:
            try:
                status = self.checkpoint.read(path)
                status.assert_existing_objects_matched()
            except _UNREADABLE as error:
                problems.append(f"{path}: {str(error).splitlines()[0]}")
                logger.warning("checkpoint left out: %s", problems[-1])
                continue
            return int(self.step.numpy())
        if problems:
            raise ValueError(
                "No checkpoint of the run can be read (another stack of Keras, or damaged files?): "
                f"{'; '.join(problems)}. Give another --output to begin anew."
            )
        return 0

    def save(self) -> str | None:
        """Writes a checkpoint; returns its path, of the chief.

        Raises:
            OSError: it could not be written, such as for a full disk; those before are there still.
        """
        number = int(self.step.numpy())
        try:
            path = self.manager.save(checkpoint_number=number)
        except tf.errors.OpError as error:
            self._remove(number)
            raise OSError(
                f"The checkpoint of step {number} could not be written to {self.manager.directory} "
                f"({str(error).splitlines()[0]}). The last good one is {self.latest()}: make room "
                "and give the same command again."
            ) from error
        if not self.chief:
            shutil.rmtree(self.manager.directory, ignore_errors=True)
        return path

    def latest(self) -> str | None:
        """The newest whole checkpoint."""
        return tf.train.latest_checkpoint(str(self.folder / "state"))

    def _remove(self, number: int) -> None:
        """Deletes what was written of a checkpoint."""
        for path in Path(self.manager.directory).glob(f"ckpt-{number}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def keep_settings(folder: Path, settings: Settings, facts: dict[str, Any], chief: bool) -> None:
    """Writes the settings of a new run, or compares them with those of the run that is there.

    Args:
        folder: of the run.
        settings: of now.
        facts: what the numbers depend on beyond them: hash of the corpus, lanes.
        chief: whether this process writes.

    Raises:
        ValueError: the folder holds a run with other settings, or other files.
    """
    path = folder / SETTINGS
    now = {**settings.to_dict(), **facts}
    if path.exists():
        try:
            then = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}): give another --output.") from None
        different = settings.difference(then)
        different += [
            f"{name}: {then.get(name)!r} then, {value!r} now"
            for name, value in facts.items()
            if then.get(name) != value
        ]
        if different:
            raise ValueError(
                f"{folder} holds a run with other settings, which would not be the same run "
                f"({'; '.join(different)}). Give the same settings, or another --output."
            )
        return
    if folder.is_dir() and any(folder.iterdir()) and chief:
        raise ValueError(
            f"{folder} holds files and no run ({SETTINGS} is not there): give a new folder."
        )
    if chief:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(now, indent=2, ensure_ascii=False) + "\n"
        write_whole(path, text.encode())
