"""Neuron models from equations in text. `model.equations` calls the others in this order:

    statements         lines, the names, units and flags in them
    model_text         `ModelText`, the model as it is read:
                       text, functions (expressions of sympy; no text is run as Python)
                       units (powers of s, V, A, .., checked where all terms have one)
    split              which variables are integrated exactly, and which are stepped
    parts              the model, read: `EquationParts`, which is all that follows reads
    source             the text of a module with the class:
                       step (its loops), methods (how variables move in a step), code (expressions as Python)
    loading            the class of that text, compiled as one written by hand

docs/equations.md has all that is understood.
"""
