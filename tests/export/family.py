"""A hypothesis family of nets: every supported operator, widths 1 to 130, kernels 1x1 to 10x4, residual adds."""

from hypothesis import strategies as st

from tests.export.models import Chain

MAX_CHANNELS = 130

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
activations = st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
paddings = st.sampled_from(["SAME", "VALID"])
ratios = st.floats(0.2, 2.0)
channels = st.one_of(st.integers(1, 12), st.integers(1, MAX_CHANNELS))
windows = st.fixed_dictionaries({
    "kernel": st.tuples(st.integers(1, 10), st.integers(1, 4)), "stride": pairs, "padding": paddings,
    "dilation": st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (2, 3)]), "per_channel": st.booleans(),
    "activation": activations})
pools = st.fixed_dictionaries({"kernel": pairs, "stride": pairs, "padding": paddings, "activation": activations})
ends = st.tuples(st.integers(0, 3), st.integers(0, 3))
steps = st.one_of(
    st.tuples(st.just("conv"), windows, channels),
    st.tuples(st.just("depthwise"), windows, st.integers(1, 3)),
    st.tuples(st.sampled_from(["average_pool", "max_pool"]), pools, st.none()),
    st.tuples(st.just("pad"), st.fixed_dictionaries({"rows": ends, "columns": ends, "channels": ends}), st.none()),
    st.tuples(st.sampled_from(["relu", "quantize"]), st.fixed_dictionaries({"ratio": ratios}), st.none()),
    st.tuples(st.just("relu6"), st.just({}), st.none()),
    st.tuples(st.just("residual"), st.fixed_dictionaries({"ratio": ratios, "activation": activations}),
              st.sampled_from(["conv", "depthwise", "itself"])))
heads = st.sampled_from(["none", "mean", "mean-kept", "dense", "dense-per-channel", "softmax", "quantize"])
shapes = st.one_of(st.tuples(st.integers(1, 14), st.integers(1, 9), st.integers(1, 6)),
                   st.tuples(st.just(1), st.integers(1, 30), st.integers(1, 8)))  # among them planes of one row


@st.composite
def nets(draw) -> Chain:
    """A net of up to five steps and a head; its input is uint8 now and then."""
    chain = Chain((1, *draw(shapes)), draw(st.integers(0, 10**6)))
    if draw(st.integers(0, 3)) == 0:
        chain.unsigned(chain.at).quantize(draw(ratios))
    for name, options, number in draw(st.lists(steps, max_size=5)):
        add_step(chain, name, options, number)
    add_head(chain, draw(heads))
    return chain


def add_step(chain: Chain, name: str, options: dict, number) -> None:
    """One step, made to fit the plane and the channels that are there."""
    if name == "residual":
        return add_residual(chain, options, number)
    if name == "pad" and chain.shape[3] + 6 > MAX_CHANNELS:
        options = options | {"channels": (0, 0)}
    if name == "depthwise" and chain.shape[3] * number > MAX_CHANNELS:
        number = 1
    if options.get("padding") == "VALID":
        options = fitted(chain, options)
    getattr(chain, name)(*([] if number is None else [number]), **options)
    return None


def fitted(chain: Chain, options: dict) -> dict:
    """Kernel and dilation no larger than the plane."""
    kernel = tuple(map(min, options["kernel"], chain.shape[1:3]))
    return options | {"kernel": kernel} | ({"dilation": (1, 1)} if "dilation" in options else {})


def add_residual(chain: Chain, options: dict, through: str) -> None:
    """The sum with what was there before one more op of the same shape."""
    before = chain.at
    if through == "conv":
        chain.conv(chain.shape[3], (1, 1), activation="RELU")
    if through == "depthwise":
        chain.depthwise()
    chain.add(before, **options)


def add_head(chain: Chain, head: str) -> None:
    if head.startswith("mean"):
        chain.mean(keep_dims=head == "mean-kept", ratio=0.7)
    if head.startswith("dense") or head == "softmax":
        size = 1
        for extent in chain.shape:
            size *= extent
        chain.reshape((1, size)).dense(7, per_channel=head == "dense-per-channel")
    if head == "softmax":
        chain.softmax(0.7)
    if head == "quantize" or not chain.graph.operators:
        chain.quantize(1.3, unsigned=True)
