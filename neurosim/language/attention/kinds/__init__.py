"""The attention kinds by name, built from their options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from ....base.errors import NeurosimInputError, lookup, require
from .almost_linear import AlmostLinearRNN
from .base import Depth, Mixer
from .bmojo import BMojo
from .comba import Comba
from .delta import KDA, DeltaNet, DeltaProduct, GatedDeltaNet
from .gam import GatedAssociativeMemory
from .hax import HAX
from .hgrn import HGRN, HGRN2
from .hippo import HippoSSM
from .latent import LatentAttention
from .lightnet import LightNet
from .linear import GLA, LinearAttention, Retention
from .local_linear import LocalLinearAttention
from .mamba import Mamba, Mamba2
from .miras import Memora, Moneta, Yaad
from .mixture_of_memories import MoM
from .neural_memory import Titans
from .parallel_rnn import ParaGRU, ParaLSTM
from .plstm import PLSTM
from .rwkv import RWKV7
from .rwkv6 import RWKV5, RWKV6
from .scout import CheckpointAttention
from .sea import SEA
from .seqboat import SeqBoat
from .slots import GatedSlotAttention
from .softmax import SoftmaxAttention, WindowAttention
from .sparse_expansion import SSE
from .state_space import DiagonalSSM
from .tcnca import TCNCA
from .titans import TitansGate, TitansLayer
from .titans_context import TitansContext
from .window_linear import WindowLinearAttention

KINDS: dict[str, type[Mixer]] = {
    "alrnn": AlmostLinearRNN,
    "bmojo": BMojo,
    "comba": Comba,
    "deltanet": DeltaNet,
    "deltaproduct": DeltaProduct,
    "gam": GatedAssociativeMemory,
    "gated_deltanet": GatedDeltaNet,
    "gla": GLA,
    "gsa": GatedSlotAttention,
    "hax": HAX,
    "hgrn": HGRN,
    "hgrn2": HGRN2,
    "kda": KDA,
    "latent": LatentAttention,
    "lightnet": LightNet,
    "linear": LinearAttention,
    "local_linear": LocalLinearAttention,
    "lssl": HippoSSM,
    "mamba": Mamba,
    "mamba2": Mamba2,
    "memora": Memora,
    "mom": MoM,
    "moneta": Moneta,
    "paragru": ParaGRU,
    "paralstm": ParaLSTM,
    "plstm": PLSTM,
    "retention": Retention,
    "rwkv5": RWKV5,
    "rwkv6": RWKV6,
    "rwkv7": RWKV7,
    "scout": CheckpointAttention,
    "sea": SEA,
    "seqboat": SeqBoat,
    "softmax": SoftmaxAttention,
    "sse": SSE,
    "ssm": DiagonalSSM,
    "tcnca": TCNCA,
    "titans": Titans,
    "titans_context": TitansContext,
    "titans_gate": TitansGate,
    "titans_layer": TitansLayer,
    "window": WindowAttention,
    "window_linear": WindowLinearAttention,
    "yaad": Yaad,
}


def options_of(kind: str) -> dict[str, object]:
    """Return the options of a kind with their defaults.

    Raises:
        NeurosimInputError: no such kind.
    """
    parameters = inspect.signature(lookup(KINDS, kind, "attention kind")).parameters
    return {name: p.default for name, p in parameters.items() if name not in ("width", "depth")}


def build(kind: str, width: int, depth: Depth, options: Mapping[str, object]) -> Mixer:
    """Build a mixer of this kind for `width` channels.

    Raises:
        NeurosimInputError: no such kind or option, or an option that breaks its rule.
    """
    known = options_of(kind)
    for name in options:
        lookup(known, name, f"{kind} option")
    require(width > 0, f"{kind}.width", "must be > 0", width)
    try:
        return KINDS[kind](width, depth, **options)
    except TypeError as error:
        raise NeurosimInputError(f"{kind}: an option is of the wrong type ({error})") from None
