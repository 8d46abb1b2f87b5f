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
    """A function that is there for some ops of a kernel alone; equal ones are linked once.

    Of generated code: static; sizes: all that its text is made of; work: what its bytes are linear in, of a kind that
    is the last word of its name. Of a kernel: one of several that do the same for some ops each; no sizes, and the kind
    is its name.
    """

    sizes: tuple[int, ...]
    work: Work

    def __hash__(self) -> int:
        return hash((self.sizes, self.work.kind))


def kernel_function(name: str) -> Function:
    """Of a kernel."""
    return Function((), work(name))


def work(kind: str, **amounts: float) -> Work:
    """With CONSTANT."""
    return Work(kind, {**amounts, CONSTANT: 1})
