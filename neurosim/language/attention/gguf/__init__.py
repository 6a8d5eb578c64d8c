"""GGUF files, the format of llama.cpp: header, blocks of quantised weights, architectures and vocabularies."""
