"""Liquid state machines: a fixed random recurrent network and a trained readout of its spikes."""
