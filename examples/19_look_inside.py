"""Brunel's network (2000) with currents, traces, learning synapses, who is connected, three plots (extra `plot`)."""

from matplotlib import pyplot

from neurosim import LIF, STDP, FixedNumberPre, Network, PoissonInput, Population, Probe, Projection, Simulation, plot
from neurosim.data import stats
from neurosim.network import NoiseCurrent, StepCurrent

cell = LIF(tau_mem=0.02, v_threshold=0.02, v_reset=0.01, r=1e8, t_refractory=2e-3)
weight = 2e-4
g = 5.0
rule = STDP(a_plus=0.01, a_minus=0.012, w_max=8e-4)
network = Network(
    [Population("E", 800, cell), Population("I", 200, cell)],
    [
        Projection("E", "E", FixedNumberPre(80), weight, 1.5e-3, plasticity=rule, dendritic_delay_fraction=1.0),
        Projection("E", "I", FixedNumberPre(80), weight, 1.5e-3),
        *(Projection("I", target, FixedNumberPre(20), -g * weight, 1.5e-3) for target in "EI"),
    ],
    [
        *(PoissonInput(target, rate=10_000.0, weight=weight) for target in "EI"),
        StepCurrent("E", [0.2, 0.3], [5e-11, 0.0], name="step"),
        NoiseCurrent("I", mean=0.0, sd=2e-11, tau=5e-3, name="noise"),
    ],
)
simulation = Simulation(network, clock=1e-4, seed=1, threads=1, probes=[Probe("E", "v", 1e-3, units=[0, 1])])
result = simulation.run(0.4)
learned = simulation.connections("E->E")
spikes = result.spikes["E"]
rate, step = (stats.mean_firing_rate(spikes, *span).mean() for span in ((0.0, 0.2), (0.2, 0.3)))
print(f"E: {rate:.1f} spikes/s, {step:.1f} with the current; CV of intervals {stats.cv(spikes).mean():.2f}")
print(f"{len(learned):,} synapses E->E, after learning {learned.weight.min():.1e} to {learned.weight.max():.1e} V")
figure, (top, middle, bottom) = pyplot.subplots(3, layout="constrained", figsize=(8, 9))
plot.raster(result.spikes, ax=top)
plot.traces(result.states["E.v"], 1e-3, ylabel="v (V)", ax=middle)
plot.connectivity(learned.matrix()[:100, :100], ax=bottom)
figure.savefig("look_inside.png")
print("drawn: look_inside.png")
