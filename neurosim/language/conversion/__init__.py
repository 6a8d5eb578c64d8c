"""Trained linear-attention models made to communicate in spikes, and run by adding rows of weights.

spiking = convert(read_model("folder"), Coding("calibrated", spikes=0.9), tokens)
spiking.execute()                               # spikes are accumulated for real
logits, state = spiking.model.step(token, state)
logits = Decoder(spiking.model).step([token])   # the same as one compiled program, which holds the state
"""
