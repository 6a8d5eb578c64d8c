"""Names of the PyNN API, on this engine: a script of PyNN runs with `import neurosim.pynn as sim`."""

from pyNN import (
    errors,
    random,
    space,
)
from pyNN.connectors import (
    AllToAllConnector,
    ArrayConnector,
    CloneConnector,
    CSAConnector,
    DisplacementDependentProbabilityConnector,
    DistanceDependentProbabilityConnector,
    FixedNumberPostConnector,
    FixedNumberPreConnector,
    FixedProbabilityConnector,
    FixedTotalNumberConnector,
    FromFileConnector,
    FromListConnector,
    IndexBasedProbabilityConnector,
    SmallWorldConnector,
)
from pyNN.network import Network
from pyNN.random import (
    GSLRNG,
    NumpyRNG,
    RandomDistribution,
)
from pyNN.space import Space
from pyNN.standardmodels import StandardCellType

from .cells import (
    LIF,
    AdExp,
    AlphaPSR,
    CurrExpPostSynapticResponse,
    EIF_cond_alpha_isfa_ista,
    EIF_cond_exp_isfa_ista,
    ExpPSR,
    GIF_cond_exp,
    HH_cond_exp,
    IF_cond_alpha,
    IF_cond_exp,
    IF_cond_exp_gsfa_grr,
    IF_curr_alpha,
    IF_curr_delta,
    IF_curr_exp,
    IF_facets_hardware1,
    Izhikevich,
    MultiCompartmentNeuron,
    PointNeuron,
    SpikeSourceArray,
    SpikeSourceGamma,
    SpikeSourceInhGamma,
    SpikeSourcePoisson,
    SpikeSourcePoissonRefractory,
)
from .connectors import (
    OneToOneConnector,
)
from .control import (
    connect,
    create,
    end,
    get_current_time,
    get_max_delay,
    get_min_delay,
    get_time_step,
    initialize,
    num_processes,
    rank,
    record,
    record_gsyn,
    record_v,
    reset,
    run,
    run_for,
    run_until,
    set,
    setup,
)
from .currents import (
    ACSource,
    DCSource,
    NoisyCurrentSource,
    StepCurrentSource,
)
from .native import (
    NativeRNG,
)
from .populations import (
    Assembly,
    Population,
    PopulationView,
)
from .projections import (
    Connection,
    Projection,
)
from .simulator import (
    ID,
    state,
)
from .synapses import (
    AdditivePotentiationMultiplicativeDepression,
    AdditiveWeightDependence,
    ElectricalSynapse,
    GutigWeightDependence,
    MultiplicativeWeightDependence,
    MultiQuantalSynapse,
    SimpleStochasticSynapse,
    SpikePairRule,
    StaticSynapse,
    STDPMechanism,
    StochasticTsodyksMarkramSynapse,
    TsodyksMarkramSynapse,
    Vogels2011Rule,
)


def list_standard_models() -> list[str]:
    """Return the names of the standard cells that are available."""
    return [
        name
        for name, value in globals().items()
        if isinstance(value, type) and issubclass(value, StandardCellType) and value is not StandardCellType
    ]
