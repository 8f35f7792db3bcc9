"""ModelLife: which version speaks (the champion), which one waits (the challenger), and who spoke before.

A newly trained version is held against the champion; `comparison.decide` says whether it takes over by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import msgspec

from monitor_core.detection.comparison import Promotion
from monitor_core.detection.detectors.neighbours import HostModels
from monitor_core.detection.model_registry import ModelDamaged, ModelRegistry
from monitor_core.detection.scorer import Scorer
from monitor_core.metrics import METRICS
from monitor_core.scores import NEIGHBOURS
from monitor_core.service.clock import Clock
from monitor_core.storage.state import StateStore

log = logging.getLogger("monitor.learning")

ACTIVE, LIFE = "model.active", "models.life"
MOST_SPOKEN = 60
BY_HAND, BY_ITSELF, ROLLED_BACK, FALLBACK = "by hand", "by itself", "rolled back", "the one before is damaged"


class NoPredecessor(Exception):
    """There is no version to go back to."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A version and since when (ms UTC) it spoke; `how` it came to."""

    version: int
    since: int
    how: str


@dataclass(frozen=True, slots=True)
class Life:
    """Kept in the state file. `spoken`: oldest first, the last one is the champion."""

    spoken: tuple[Spoken, ...] = ()
    challenger: int | None = None


def voice(registry: ModelRegistry, version: int) -> Callable[[Scorer], None]:
    """Everything that the version needs to speak, read and checked; call it with a scorer. Raises ModelDamaged."""
    _, forest = registry.load(version)
    arrays = registry.further(version, NEIGHBOURS)
    try:
        models = HostModels.from_arrays(arrays, len(METRICS)) if arrays else None
    except ValueError as error:
        raise ModelDamaged(f"model version {version}: {error}") from error
    return lambda scorer: scorer.use(forest, version, models)


def predecessor(spoken: Sequence[Spoken]) -> int | None:
    """The version to go back to. One that was rolled back from is not gone back to: a second step goes further back."""
    line: list[int] = []
    for entry in spoken:
        if entry.version in line and entry.how == ROLLED_BACK:
            del line[line.index(entry.version) + 1 :]
        elif not line or line[-1] != entry.version:
            line.append(entry.version)
    return line[-2] if len(line) > 1 else None


class ModelLife:
    """`let_speak` gives a version's voice to the judge that works."""

    def __init__(
        self,
        registry: ModelRegistry,
        state: StateStore,
        clock: Clock,
        let_speak: Callable[[Callable[[Scorer], None]], None],
    ) -> None:
        self._registry, self._state, self._clock, self._let_speak = registry, state, clock, let_speak
        self._lock = threading.RLock()
        self._life = Life()
        self.damaged: str | None = None

    @property
    def champion(self) -> Spoken | None:
        return self._life.spoken[-1] if self._life.spoken else None

    @property
    def challenger(self) -> int | None:
        return self._life.challenger

    @property
    def predecessor(self) -> int | None:
        return predecessor(self._life.spoken)

    def history(self) -> list[Spoken]:
        """Who spoke since when, newest first."""
        return list(reversed(self._life.spoken))

    def restore(self) -> None:
        """At the start: the version that spoke last; if damaged the one before it, then the newest whole one."""
        saved = self._state.meta(LIFE)
        self._life = msgspec.json.decode(saved, type=Life) if saved else Life()
        wanted = int(self._state.meta(ACTIVE) or 0)
        before = [entry.version for entry in self.history()]
        others = [version for version in reversed(self._registry.versions()) if version != self.challenger]
        self.damaged = None
        for version in filter(None, dict.fromkeys([wanted, *before, *others])):
            try:
                self._let_speak(voice(self._registry, version))
            except ModelDamaged as error:
                self.damaged = str(error)
                log.warning("%s; another version is tried", error)
                continue
            self._speaks_after_start(version)
            return

    def _speaks_after_start(self, version: int) -> None:
        if self.champion is None:  # it was activated before there was a history
            self._keep(self._next(version, BY_ITSELF, self._registry.info(version).created_at))
        elif self.champion.version != version:
            self._keep(self._next(version, FALLBACK if self.damaged else BY_HAND, self._clock.now_ms()))

    def introduce(self, version: int, promotion: Promotion) -> None:
        """A new version: it takes over, or waits as the challenger in place of the one that waited."""
        with self._lock:
            if promotion.speaks:
                self.promote(version, BY_ITSELF)
            else:
                self._keep(Life(self._life.spoken, version))

    def promote(self, version: int, how: str = BY_HAND) -> None:
        """Let this version speak from now on. Raises ModelDamaged; then nothing changes."""
        with self._lock:
            self._let_speak(voice(self._registry, version))
            if self.champion is None or self.champion.version != version:
                self._keep(self._next(version, how, self._clock.now_ms()))
            self._state.set_meta(ACTIVE, str(version))

    def keep(self, version: int) -> bool:
        """The champion goes on, the challenger is dismissed; False when that one does not wait."""
        with self._lock:
            if self._life.challenger != version:
                return False
            self._keep(Life(self._life.spoken, None))
            return True

    def roll_back(self) -> int:
        """The version that spoke before speaks again. Raises NoPredecessor, ModelDamaged; then nothing changes."""
        with self._lock:
            version = self.predecessor
            if version is None:
                raise NoPredecessor("There is no earlier version to go back to.")
            self.promote(version, ROLLED_BACK)
            return version

    def prune(self) -> list[int]:
        """Remove versions that are too many; never those that speak, spoke before, or wait."""
        with self._lock:
            champion = self.champion.version if self.champion else None
            needed = {version for version in (champion, self.predecessor, self.challenger) if version is not None}
            return self._registry.prune(needed)

    def _next(self, version: int, how: str, since: int) -> Life:
        waits = self._life.challenger
        spoken = (*self._life.spoken, Spoken(version, since, how))[-MOST_SPOKEN:]
        return Life(spoken, None if waits == version or how == BY_ITSELF else waits)

    def _keep(self, life: Life) -> None:
        self._life = life
        self._state.set_meta(LIFE, msgspec.json.encode(asdict(life)).decode())
