"""A language model behind an HTTP endpoint in the form of OpenAI's: `neurosim serve RUN`."""
