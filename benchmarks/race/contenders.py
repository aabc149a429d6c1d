"""Who takes part in which work, and who cannot, and why."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.race import work as works
from benchmarks.race.networks import Mlp, Transformer
from benchmarks.race.work import Work

OURS, TENSORFLOW, DEEPXDE = "keras-curvature", "TensorFlow", "DeepXDE"
JAX_HESSIAN, JET, FOLX = "jax.hessian", "jax.experimental.jet", "folx"
TORCH_FUNC, TORCH_JET = "torch.func", "jet-for-pytorch"
MACHINE, PRODUCTS, BY_HAND = "the machine", "products alone", "by hand, with TensorFlow"

PEERS = (TENSORFLOW, DEEPXDE, JAX_HESSIAN, JET, FOLX, TORCH_FUNC, TORCH_JET)

CALL, GRAPH, XLA = "call", "graph", "XLA"
GIVEN = "given directions"
"""Of a trace estimate, which otherwise draws its own."""

UNROLLED_LIMIT = 64
"""A loop over the inputs becomes a graph with that many gradients in it."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        peer: whose it is; of several ways the report shows the fastest.
        recipe: the way.
        mode: how it is run: in a graph, compiled, called plainly.
        module: in `benchmarks.race.peers`.
    """

    peer: str
    recipe: str
    mode: str
    module: str

    @property
    def name(self) -> str:
        """For `--only`."""
        return f"{self.peer}, {self.recipe}, {self.mode}"


def _table(peer: str, module: str, recipes: list[str], modes: list[str]) -> list[Contender]:
    return [Contender(peer, recipe, mode, module) for recipe in recipes for mode in modes]


RECIPES = ["nested tape", "tape loop", "forward over reverse", "tf.hessians"]
OTHERS = [
    *_table(TENSORFLOW, "tensorflow_recipes", RECIPES, [GRAPH, XLA]),
    *_table(DEEPXDE, "deepxde_peer", ["train_step"], [GRAPH, XLA]),
    *_table(JAX_HESSIAN, "jax_peers", ["jax.hessian"], ["jit"]),
    *_table(JET, "jax_peers", ["jet"], ["jit"]),
    *_table(FOLX, "jax_peers", ["dense", "sparse"], ["jit"]),
    *_table(TORCH_FUNC, "torch_func", ["forward over reverse"], ["eager", "compiled"]),
    *_table(TORCH_JET, "torch_jet", ["collapsed"], ["eager", "compiled"]),
]
GROWERS = [
    *_table(TENSORFLOW, "tensorflow_recipes", ["nested tape"], [GRAPH, XLA]),
    *_table(FOLX, "jax_peers", ["dense"], ["jit"]),
]
PRODUCT = Contender(MACHINE, "matrix product", "eager", "tensorflow_recipes")
BOUNDS = _table(PRODUCTS, "products", [PRODUCTS], [GRAPH, XLA])
WRITTEN_OUT = _table(BY_HAND, "by_hand", ["written out"], [GRAPH, XLA])


def field(work: Work) -> list[Contender]:
    """Everyone who is asked to do `work`."""
    if work == works.RESNET:
        return _table(OURS, "ours", ["auto"], [CALL])
    if work in works.DEEP_TRACES:
        ways = _table(OURS, "ours", ["auto"], [CALL, XLA])
        return [*ways, *_table(TENSORFLOW, "tensorflow_recipes", RECIPES, [GRAPH, XLA])]
    if work not in [*works.EXACT, *works.TRACES, *works.STEPS]:
        return [*_table(OURS, "ours", ["auto"], [CALL]), *GROWERS]
    bounds = [] if isinstance(work.network, Transformer) else BOUNDS
    by_hand = WRITTEN_OUT if work.quantity == works.LAPLACIAN else []
    return [*_ours(work), *OTHERS, *by_hand, *bounds, *[PRODUCT] * (work == works.DENSE)]


def _ours(work: Work) -> list[Contender]:
    """Each engine called plainly, and the default one inside XLA."""
    from keras_curvature.engines.dispatch import ENGINES

    exact = [name for name in ENGINES if name != "finite_difference"]
    plain = GRAPH if work.quantity == works.STEP else CALL
    given = [GIVEN] if work.quantity == works.TRACE else []
    return [
        *_table(OURS, "ours", ["auto"], [plain, *given, XLA]),
        *_table(OURS, "ours", exact, [plain]),
    ]


def objection(contender: Contender, work: Work) -> str | None:
    """Why it cannot be asked, if it cannot."""
    quantity, peer = work.quantity, contender.peer
    exact = quantity in (works.LAPLACIAN, works.DIAGONAL, works.HESSIAN)
    if peer == DEEPXDE and quantity != works.STEP:
        return "has no function for it outside of training"
    if peer == FOLX and quantity in (works.DIAGONAL, works.HESSIAN):
        return "computes Laplacians only"
    if peer in (JET, TORCH_JET) and quantity == works.HESSIAN:
        return "computes derivatives along directions only"
    if contender.mode == "compiled" and quantity in (works.DIAGONAL, works.HESSIAN):
        return "not tried: compiling takes a quarter of a minute, see the Laplacian"
    wide = isinstance(work.network, Mlp) and work.network.inputs > UNROLLED_LIMIT
    if contender.recipe == "tape loop" and exact and wide:
        return f"unrolled over more than {UNROLLED_LIMIT} inputs, it does not compile in time"
    return None
