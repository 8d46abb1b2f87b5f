"""What growth does to a net: channel paths are copied, new ones added, residual blocks put in; momentum goes along.

An edit with moves, fresh columns and a block's last gamma at zero leaves the function as it is, in train and eval mode
(DESIGN, Growth 2). Edits are made out of place, so that they can be run before they are decided on.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from export.shape import NetShape
from kws_grow.network import DsCnn, ResidualBlock, Rows

Values = dict[str, Tensor]  # by name, as of a state dict
BLOCK_NAMES = tuple(name for name, _ in ResidualBlock(1).named_parameters())


@dataclass(frozen=True)
class Fresh:
    """New channels of a path layer. rows: one tensor [K, ...] a path parameter, over the channels before the edit.
    columns: one tensor [out, K, ...] for each mix that reads the layer (DsCnn.mixes_behind), of its rows before it.
    block: their rows in a block that comes with the same edit, closed."""

    rows: Rows
    columns: list[Tensor]
    block: Rows | None = None


@dataclass(frozen=True)
class LayerEdit:
    """Of one path layer, C channels before it.

    source: int64 [C'], the old channel that each new one copies; where it grows, the old ones come first, each once.
    weight: [C'], its share of the outgoing column; those of one source sum to 1 where the function is to stay.
    moves: how far each copy moves, one tensor [C', ...] a path parameter.
    block: parameters of a new residual block behind the others, over C channels; in ResidualBlock's order.
    """

    source: Tensor
    weight: Tensor
    moves: Rows
    fresh: Fresh | None = None
    block: Rows | None = None

    @property
    def width(self) -> int:
        """Channels behind it."""
        return len(self.source) + (len(self.fresh.rows[0]) if self.fresh else 0)


def unchanged(net: DsCnn, layer: int) -> LayerEdit:
    """The edit that does nothing."""
    parameters = [p.detach() for p in net.paths[layer].path_parameters()]
    return LayerEdit(torch.arange(len(parameters[0]), device=parameters[0].device), torch.ones_like(parameters[1]),
                     [torch.zeros_like(p) for p in parameters])


def kept(net: DsCnn, layer: int, index: Tensor) -> LayerEdit:
    """Only the channels `index` stay."""
    rest = unchanged(net, layer)
    return LayerEdit(index, rest.weight[index], [move[index] for move in rest.moves])


def halved(net: DsCnn, layer: int, index: Tensor, offsets: Rows) -> LayerEdit:
    """The channels `index` split in two: copies at +d and -d, half the outgoing column each."""
    rest = unchanged(net, layer)
    weight = rest.weight.clone()
    weight[index] = 0.5
    moves = []
    for d in offsets:
        own = torch.zeros_like(d)
        own[index] = d[index]
        moves.append(torch.cat([own, -d[index]]))
    return LayerEdit(torch.cat([rest.source, index]), torch.cat([weight, weight[index]]), moves)


def grown_shape(net: DsCnn, edits: list[LayerEdit]) -> NetShape:
    """Of the net behind the edits."""
    before = net.shape
    return replace(before, widths=tuple(edit.width for edit in edits),
                   depths=tuple(d + (e.block is not None) for d, e in zip(before.depths, edits, strict=True)))


def grown(net: DsCnn, edits: list[LayerEdit]) -> DsCnn:
    """A new net with the edits made, one a path layer; train or eval mode as before."""
    like = net.classifier.weight
    new = DsCnn(grown_shape(net, edits)).to(like.device, like.dtype).train(net.training)
    with torch.no_grad():
        new.load_state_dict(grown_values(net, edits))
    return new


def grown_values(net: DsCnn, edits: list[LayerEdit]) -> Values:
    """Parameters and buffers of the grown net; differentiable in the edits' tensors."""
    deeper = _deepened({k: v.detach() for k, v in net.state_dict().items()}, net, edits)
    moves = _named_moves(net, edits)

    def rows(name: str, values: Tensor, edit: LayerEdit) -> Tensor:
        values = values[edit.source]
        return values + moves[name] if name in moves else values

    def columns(values: Tensor, edit: LayerEdit) -> Tensor:
        return values[:, edit.source] * edit.weight.view(1, -1, *[1] * (values.ndim - 2))
    return _edited(deeper, net, edits, rows, columns, fresh=True)


def carried(optimizer: torch.optim.Optimizer, new_optimizer: torch.optim.Optimizer, net: DsCnn, new: DsCnn,
            edits: list[LayerEdit]) -> None:
    """Give new_optimizer the moments of `optimizer`: first moments of what comes in times the copy's weight, second
    ones times its square; copied for what goes out; none for what is new (DESIGN, Growth 10)."""
    old, moments = dict(net.named_parameters()), {}
    for name, parameter in old.items():
        for kind, value in optimizer.state.get(parameter, {}).items():
            moments.setdefault(kind, {})[name] = value
    targets = dict(new.named_parameters())
    for kind, values in moments.items():
        power = 2 if kind == "exp_avg_sq" else 1
        moved = values if kind == "step" else _carried_values(values, net, edits, power)
        for name, value in moved.items():
            new_optimizer.state[targets[name]][kind] = value.contiguous() if value.ndim != 4 else value.contiguous(
                memory_format=torch.channels_last)


def _carried_values(values: Values, net: DsCnn, edits: list[LayerEdit], power: int) -> Values:
    def rows(name: str, m: Tensor, edit: LayerEdit) -> Tensor:
        return m[edit.source] * (edit.weight**power).view(-1, *[1] * (m.ndim - 1))

    def columns(m: Tensor, edit: LayerEdit) -> Tensor:
        return m[:, edit.source]
    return _edited(values, net, edits, rows, columns, fresh=False)


def _edited(values: Values, net: DsCnn, edits: list[LayerEdit], rows: Callable, columns: Callable,
            fresh: bool) -> Values:
    """Every tensor with its rows and columns edited; fresh: whether new channels have their values, or zeros."""
    done = {}
    for name, value in values.items():
        row, column = _axes(name, len(net.paths))
        value = value if value.ndim else value.clone()  # counters of batches
        if row is not None and value.ndim:
            value = rows(name, value, edits[row])
            value = _with_fresh_rows(name, value, edits[row], net.paths[row], fresh)
        if column is not None:
            value = _with_columns(name, value, edits, row, column, columns, fresh)
        done[name] = value
    return done


def _axes(name: str, n_layers: int) -> tuple[int | None, int | None]:
    """Path layers whose channels are the rows and the columns of a parameter or buffer."""
    parts = name.split(".")
    if parts[0] == "classifier":
        return None, n_layers - 1 if parts[1] == "weight" else None
    layer = int(parts[1])
    if parts[2:] == ["mix", "weight"]:
        return layer, layer - 1 if layer else None
    return layer, layer if parts[-2:] == ["mix", "weight"] else None


def _with_fresh_rows(name: str, value: Tensor, edit: LayerEdit, path: nn.Module, fresh: bool) -> Tensor:
    if edit.fresh is None:
        return value
    names, count = path.path_names(), len(edit.fresh.rows[0])
    given = dict(zip(names, edit.fresh.rows, strict=True))
    if edit.block is not None and edit.fresh.block is not None:
        prefix = f"blocks.{len(path.blocks)}"
        given |= {f"{prefix}.{name}": row for name, row in zip(BLOCK_NAMES, edit.fresh.block, strict=True)}
    local = name.split(".", 2)[2]
    if fresh and local in given:
        return torch.cat([value, given[local]])
    return torch.cat([value, value.new_full((count, *value.shape[1:]), float(fresh and name.endswith("running_var")))])


def _with_columns(name: str, value: Tensor, edits: list[LayerEdit], row: int | None, column: int,
                  columns: Callable, fresh: bool) -> Tensor:
    edit = edits[column]
    wider = columns(value, edit)
    if edit.fresh is None:
        return wider
    new = _fresh_columns(name, edit.fresh, row == column) if fresh else None
    shape = (*value.shape[:1], len(edit.fresh.rows[0]), *value.shape[2:])
    behind = value.new_zeros(shape)
    if new is not None:
        of_rows = new if row is None else new[edits[row].source]
        behind = torch.cat([of_rows, behind[len(of_rows):]])
    return torch.cat([wider, behind], 1)


def _fresh_columns(name: str, fresh: Fresh, of_block: bool) -> Tensor | None:
    """Of the mix that has this weight; None for a block that came with the same edit."""
    *of_blocks, behind = fresh.columns
    if not of_block:
        return behind
    block = int(name.split(".")[3])
    return of_blocks[block] if block < len(of_blocks) else None


def _deepened(values: Values, net: DsCnn, edits: list[LayerEdit]) -> Values:
    """With the parameters of new blocks among them."""
    deeper = dict(values)
    for layer, edit in enumerate(edits):
        if edit.block is None:
            continue
        block = ResidualBlock(len(edit.block[0]))
        given = dict(zip(BLOCK_NAMES, edit.block, strict=True))
        prefix, like = f"paths.{layer}.blocks.{len(net.paths[layer].blocks)}", values["classifier.weight"]
        for name, value in block.state_dict().items():
            value = value.to(like.device) if not value.is_floating_point() else value.to(like)
            deeper[f"{prefix}.{name}"] = given.get(name, value)
    return deeper


def _named_moves(net: DsCnn, edits: list[LayerEdit]) -> Values:
    return {f"paths.{i}.{name}": move for i, (path, edit) in enumerate(zip(net.paths, edits, strict=True))
            for name, move in zip(path.path_names(), edit.moves, strict=True)}


def fresh_block(rows: int, channels: int, generator: torch.Generator, like: Tensor) -> Rows:
    """These many rows of the parameters of a residual block on `channels` that does nothing yet: its last gamma is
    zero; in BLOCK_NAMES' order."""
    def draw(*shape: int) -> Tensor:
        fan_in = shape[1] * shape[2] * shape[3]
        return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype) * (2 / fan_in) ** 0.5
    ones, zeros = like.new_ones(rows), like.new_zeros(rows)
    return [draw(rows, 1, 3, 3), ones, zeros.clone(), draw(rows, channels, 1, 1), zeros.clone(), zeros.clone()]
