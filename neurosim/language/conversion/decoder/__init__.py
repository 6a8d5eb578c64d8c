"""The compiled step of a language model: `decoder.Decoder`.

The model runs once with values that record (`Traced`). A value is a `Node`, which becomes an operation of
`kernels.decode` when its buffer is first needed; the operations of all layers are the program that every token runs.
From the model down to the kernels:

    decoder            tokens in, logits out; a program for each number of sequences side by side
    model_program      runs every residual block once
    traced             `Traced`, and what each torch function does to it:
                       shapes, elementwise, axes, products by the name of the function; leaves for functions of kinds
    operations         `StepBuilder`: a kind appends operations of its own by it; cached, routes
    nodes, chains      `Node`: what waits, joins and is computed once; act(x + a) * b + c is one operation
    linear, joined_rows, split_rows, encoding, norms, pointwise, positions, embedding, inputs
                       append an operation: its operands by name, its parts for the threads, what it reads and writes
    program            `DecoderProgram.emit`: the list of each thread, and where threads must meet
    memory             buffers of a token, states of a sequence, weights of all programs
"""
