"""Train with Keras' own `fit`, stop early with a stock callback, and sample with textgen.

To run it: python examples/keras_loop.py data/tinyshakespeare/input.txt
"""

import sys
from pathlib import Path

import keras

import textgen

text = Path(sys.argv[1]).read_text(encoding="utf-8")
training, held_out = text[: int(0.9 * len(text))], text[int(0.9 * len(text)) :]

tokenizer = textgen.build_tokenizer(training, textgen.TokenizerSettings(pristine_input=True))
settings = textgen.ModelSettings(rnn_size=128, num_layers=1)
model = textgen.build_model(settings, len(tokenizer.vocabulary), batch_size=32)
model.compile(
    optimizer=keras.optimizers.AdamW(0.004, clipnorm=1.0),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    jit_compile=True,
)
model.fit(
    textgen.training_batches(tokenizer.encode(training), 32, 50),
    validation_data=textgen.training_batches(tokenizer.encode(held_out), 32, 50),
    epochs=20,
    shuffle=False,  # batches go on where the one before stopped
    callbacks=[
        textgen.ResetState(),
        keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
    ],
)
print(textgen.Generator.from_keras(model, tokenizer).generate("\n", length=300, temperature=0.7))
textgen.save(model, tokenizer, "data/keras_loop")  # for `sample.py --data-dir data/keras_loop`
