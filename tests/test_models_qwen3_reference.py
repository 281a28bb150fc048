"""The numbers of the reference implementations: what they compute of the tiny checkpoint.

tools/qwen3_reference made them with qwen-asr and transformers at 32 lengths from 201 samples to
41 s: some numbers of the log-mel spectrogram, of the embeddings, and of the first token's logits.
"""

import json

import numpy as np
import pytest
import qwen3_checkpoints as made

from alignheads import SpeechModel

LENGTHS = (
    201, 320, 399, 400, 401, 1279, 1280, 4000, 7999, 8000, 15839, 15999, 16000, 16001, 16159,
    16160, 17280, 31999, 32000, 40321, 63999, 64000, 80000, 127999, 128000, 128001, 129280,
    160000, 255999, 256000, 400001, 656000,
)  # fmt: skip
SHORT = 16000 - 1
"""transformers pads what it convolves to 1 s, qwen-asr does not; ours is as qwen-asr."""
MEL, EMBEDDING, LOGIT = 3e-5, 5e-5, 2e-5


@pytest.fixture(scope="module")
def model():
    return SpeechModel.load("tiny")


def reference(name):
    return np.load(made.REFERENCE / f"{name}.npz")


def test_the_norms_of_queries_and_keys_are_as_the_config_says(tmp_path, model):
    layer = model.engine.model.layers[0].self_attn
    assert (layer.q_norm.eps, layer.k_norm.eps) == (1e-6, 1e-6)
    config = json.loads(json.dumps(made.references()["native"]["configs"]["config.json"]))
    config["text_config"]["rms_norm_eps"] = 1e-3
    folder = made.write(
        tmp_path / "model", config, made.native_tensors(), tokenizer=["tokenizer.json"]
    )
    other = SpeechModel.load(folder).engine.model.layers[3].self_attn
    assert (other.q_norm.eps, other.k_norm.eps) == (1e-3, 1e-3)


@pytest.mark.parametrize("length", LENGTHS)
def test_mel_embeddings_and_logits(length, model):
    from mlx_qwen3_asr.audio import compute_features

    at, samples = LENGTHS.index(length), made.speech()[:length]
    mel = np.array(compute_features(samples)[0][0]).T.ravel()
    mel = mel[np.linspace(0, len(mel) - 1, 24).astype(int)]
    embeddings = np.array(model.encode(samples))
    rows = embeddings[[0, len(embeddings) // 2, len(embeddings) - 1]][:, ::8]
    logits = np.array(model.prefill(samples).logits)
    logits = logits[:: len(logits) // 64][:64]
    for name in ("original", "native"):
        if name == "native" and length < SHORT:
            continue
        wanted = reference(name)
        np.testing.assert_allclose(mel, wanted["mel"][at], atol=MEL)
        np.testing.assert_allclose(rows, wanted["embeddings"][at], atol=EMBEDDING)
        np.testing.assert_allclose(logits, wanted["logits"][at], atol=LOGIT)
