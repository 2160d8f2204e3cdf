"""Write many texts at once to a file of JSON lines, each with how likely the model finds it.

To run it: python examples/batch_generation.py data/tinyshakespeare 100 texts.jsonl
"""

import json
import sys
from pathlib import Path

import textgen

folder, count, file = sys.argv[1:]
model = textgen.load(folder)
settings = textgen.SamplingSettings(length=300, temperature=0.7, top_p=0.95, random_seed=1)

samples = list(model.samples(int(count), "\n", settings, scored=True))
samples.sort(key=lambda sample: sample.mean_log_probability, reverse=True)
with Path(file).open("w", encoding="utf-8") as lines:
    for sample in samples:
        lines.write(json.dumps(sample.to_dict(), ensure_ascii=False) + "\n")

print(f"wrote {len(samples)} texts to {file}; the one that the model finds likeliest:")
print(samples[0].text)
