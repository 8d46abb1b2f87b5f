"""What a stream's events were worth: words found, words missed, false accepts, how soon."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from datasets.features import SAMPLE_RATE
from export.stream_audio import KEYWORDS, LongAudio

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Outcome:
    """Of one stream at one threshold.

    found: keywords with an event of their label before the next one began. wrong_words: events of another label there;
    repeats: further events of theirs. accepts: kind -> events where no keyword is. latency_ms: [found], from the end of
    the speech to the last sample that the event had heard.
    """

    threshold: int
    keywords: int
    found: int
    wrong_words: int
    repeats: int
    accepts: dict[str, int]
    latency_ms: np.ndarray

    @property
    def false_accepts(self) -> int:
        return sum(self.accepts.values())

    @property
    def rejects(self) -> int:
        return self.keywords - self.found

    @property
    def reject_rate(self) -> float:
        return self.rejects / self.keywords


@dataclass(frozen=True)
class Rate:
    """Events in so many minutes, and what they are an hour, with the exact 95 % interval of a Poisson count."""

    count: int
    minutes: float

    @property
    def per_hour(self) -> float:
        return self.count / self.minutes * 60

    @property
    def interval(self) -> tuple[float, float]:
        """Garwood's."""
        tail = (1 - CONFIDENCE) / 2
        low = chi2.ppf(tail, 2 * self.count) / 2 if self.count else 0.0
        high = chi2.ppf(1 - tail, 2 * self.count + 2) / 2
        return low / self.minutes * 60, float(high) / self.minutes * 60

    def as_json(self) -> dict:
        """Its figures."""
        return {"count": self.count, "minutes": round(self.minutes, 2), "per_hour": round(self.per_hour, 3),
                "per_hour_95": [round(float(end), 3) for end in self.interval]}


def judge(audio: LongAudio, events: np.ndarray, threshold: int) -> Outcome:
    """Of EVENTs that came out of `audio` from its first sample on."""
    at = events["time_ms"].astype(np.int64) * SAMPLE_RATE // 1000
    labels = np.array([word.label for word in audio.words])
    ends = {each.kind: each.end for each in audio.stretches}
    spoken = at <= ends[KEYWORDS]
    belongs = np.searchsorted([word.start for word in audio.words], at[spoken], side="right") - 1
    right = events["label"][spoken] == labels[belongs]
    found, first = np.unique(belongs[right], return_index=True)
    speech_ends = np.array([word.speech_end for word in audio.words])[found]
    latency = (at[spoken][right][first] - speech_ends) * 1000 / SAMPLE_RATE
    return Outcome(threshold, len(labels), len(found), int((~right).sum()), int(right.sum()) - len(found),
                   _accepts(audio, at[~spoken]), latency)


def _accepts(audio: LongAudio, at: np.ndarray) -> dict[str, int]:
    """kind -> events at these samples; the last word of a stretch may be heard in the next one's beginning."""
    return {each.kind: int(((at > each.start) & (at <= each.end)).sum())
            for each in audio.stretches if each.kind != KEYWORDS}


def minutes_without_words(audio: LongAudio) -> float:
    """In which every event is a false accept."""
    return sum(each.minutes for each in audio.stretches if each.kind != KEYWORDS)


def false_accepts(audio: LongAudio, outcome: Outcome) -> Rate:
    """In all minutes without a keyword."""
    return Rate(outcome.false_accepts, minutes_without_words(audio))


def pick(curve: list[Outcome], audio: LongAudio, per_hour: float) -> tuple[Outcome, bool]:
    """The lowest threshold from which on the rate of false accepts is at most per_hour, and whether there is one; else
    the highest. curve: by rising threshold."""
    kept = len(curve) - 1
    reached = false_accepts(audio, curve[-1]).per_hour <= per_hour
    while reached and kept > 0 and false_accepts(audio, curve[kept - 1]).per_hour <= per_hour:
        kept -= 1
    return curve[kept], reached


def curve_of(audio: LongAudio, decide: Callable[[int], np.ndarray], thresholds: range) -> list[Outcome]:
    """An Outcome for each threshold; decide: threshold -> events."""
    return [judge(audio, decide(threshold), threshold) for threshold in thresholds]
