"""Neuron models from equations in text: parsed, split into exact and stepped parts, written as a class, compiled."""
