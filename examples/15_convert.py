"""A language model turned into spikes: a few lines of training, a conversion, text written by it, and the curve."""

from matplotlib import pyplot

from neurosim.language import (
    Coding,
    LanguageConfig,
    LanguageTraining,
    MixerSpec,
    Sampling,
    calibrate_channels,
    check_execution,
    compare_models,
    convert,
    energy_comparison,
    generate_tokens,
    layer_counts,
    python_text,
    read_converted,
    read_model,
    spike_totals,
    split_text,
    train_bytes,
    write_converted,
)

text = python_text()[:100_000]
config = LanguageConfig(
    (MixerSpec("gated_deltanet", {"num_heads": 2, "head_dim": 16, "head_v_dim": 16}),) * 2, width=48, hidden=96
)
train_bytes(text, config, LanguageTraining(steps=60, batch=8, length=64, learning_rate=1e-2), folder="lm")
dense = read_model("lm")  # or a Hugging Face folder
learn, held = split_text(text, 0.1)

known = calibrate_channels(dense, Coding("calibrated"), learn, windows=16, length=64)  # once for all strengths
points: dict[str, list[tuple[float, float]]] = {"ternary": [], "calibrated": []}
codings = [Coding("ternary", k=k) for k in (0.75, 1.5, 3.0)]
codings += [Coding("calibrated", spikes=s) for s in (0.4, 0.7, 1.1)]
print("scheme      spikes a channel  perplexity  same byte  energy (arithmetic), against fp16")
for coding in codings:
    spiking = convert(dense, coding, learn, windows=16, length=64, calibration=known)
    with spiking.counting() as histograms:
        found = compare_models(dense, spiking.model, held[:3000])
    layers = layer_counts(spiking, histograms)
    spikes = spike_totals(spiking, histograms).spikes
    saved = energy_comparison(layers, found.tokens, "horowitz45").fp16.saving["compute_only"]
    increase = found.perplexity_increase
    points[coding.scheme].append((spikes, 100 * increase))
    print(f"{coding.scheme:12}{spikes:16.2f}{increase:+12.2%}{found.agreement:11.1%}{saved:11.1%} saved")

same = check_execution(spiking, held[:256].view(4, 64))
print(f"rows of weights added for spikes: logits differ by {same.largest} of the largest from the simulated ones")
print("on floats:", ", ".join(sorted({what for _, what in spiking.dense})))

write_converted("spiking", spiking)
writer = read_converted("spiking").execute()
written = bytes(token for token, _ in generate_tokens(writer.model, b"The ", Sampling(60)))
print("text:", ("The " + written.decode("utf-8", "replace")).replace("\n", " "))

pyplot.figure(figsize=(7, 4), layout="constrained")
for scheme, pairs in points.items():
    pyplot.plot(*zip(*sorted(pairs), strict=True), "o-", label=scheme)
pyplot.title("What a language model loses in spikes")
pyplot.xlabel("spikes a channel")
pyplot.ylabel("perplexity more, %")
pyplot.legend()
pyplot.savefig("curve.svg")
print("drawn: curve.svg")
