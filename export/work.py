"""What a layer makes its kernel do, as a linear model of costs takes it."""

from dataclasses import dataclass

CONSTANT = "layer"  # the amount that is 1 for every layer


@dataclass(frozen=True)
class Work:
    """kind: of the layers that one linear model describes; amounts: by name."""

    kind: str
    amounts: dict[str, float]


@dataclass(frozen=True)
class Function:
    """A static function of generated code, which ops share whose functions are equal. sizes: all that its text is made
    of. work: what its bytes are linear in; its kind is the last word of the function's name."""

    sizes: tuple[int, ...]
    work: Work

    def __hash__(self) -> int:
        return hash((self.sizes, self.work.kind))


def work(kind: str, **amounts: float) -> Work:
    """With CONSTANT."""
    return Work(kind, {**amounts, CONSTANT: 1})
