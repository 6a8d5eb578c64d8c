"""Training of spiking networks on recordings, and their way into the event-driven engine; needs torch.

binning = Binning(train.shape, dt=0.01, pool=2)          # recordings to tensors
net = SpikingNet(binning.shape, len(train.classes), NetworkSpec(hidden=(128,)), binning.dt)
Trainer(net, binning, train, validation).run()
network = to_network(net)                                # the same spikes, event by event
"""
