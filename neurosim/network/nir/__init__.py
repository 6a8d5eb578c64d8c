"""Networks to and from NIR, the Neuromorphic Intermediate Representation (Pedersen et al. 2024), in the `nir` extra.

nir.write("net.nir", nir.to_nir(network, dt=1e-3))      # for snnTorch, Norse, Lava, sinabs, ...
network = nir.from_nir("net.nir")                       # or of another program: from_nir(path, dt=its step)

Exact in both directions: CubaLIF, IF, LI and LIF, with parameters by unit (I and CubaLI as neurons with a threshold out
of reach); Linear, Affine, Conv1d, Conv2d, Scale, SumPool2d, AvgPool2d, Flatten and any chain of them; Delay; sources as
Input. Metadata holds what NIR lacks: dt, soft reset, refractory period, receptor, initial values, Poisson rates. Errors
name the node or population that has no counterpart.
"""
