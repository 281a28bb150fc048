"""The model edge with real inference on the bundled tiny checkpoint."""

import json
import shutil
import struct

import jiwer
import mlx.core as mx
import numpy as np
import pytest
from mlx_qwen3_asr.decoder import KVCache
from mlx_qwen3_asr.tokenizer import Tokenizer

from alignheads import InputError, SpeechModel
from alignheads.runtime.models.checkpoint import TINY_FOLDER
from alignheads.runtime.models.qwen3.text_decoder import decode
from alignheads.runtime.models.qwen3.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def clips(demo):
    return [(u.text, u.read()) for u in demo.utterances[:8]]


def plain(text):
    return " ".join("".join(c for c in text.lower() if c.isalnum() or c in " '").split())


def captured(model, prefix, ids):
    """[layers, heads, tokens, frames]."""
    layers = []
    model.attention(prefix, ids, lambda _, weights: layers.append(weights))
    return np.stack(layers)


# Samples


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(16_000, np.int16), r"int16 of shape \(16000,\).*floats"),
        (np.zeros((16_000, 2), np.float32), r"shape \(16000, 2\).*one channel"),
        (np.zeros((1, 16_000), np.float32), "one channel"),
        (np.float32(0.5), r"shape \(\)"),
        (np.zeros(0, np.float32), "0 samples are too few; expected 201"),
        (np.zeros(200, np.float32), "200 samples are too few"),
        (np.full(16_000, np.nan, np.float32), "NaN or infinity"),
        (np.r_[np.zeros(999), np.inf], "NaN or infinity"),
        (np.zeros(16_000, complex), "complex128"),
        (["a", "b"], "one channel of floats"),
    ],
)
def test_samples_that_are_no_audio_are_refused(tiny, samples, message):
    with pytest.raises(InputError, match=message):
        tiny.transcribe(samples)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_shortest_audio_and_every_float(tiny, dtype):
    assert tiny.encode(np.zeros(201, dtype)).shape[0] == 1
    assert isinstance(tiny.transcribe(np.zeros(201, dtype)).text, str)


def test_silence_has_no_words(tiny):
    said = tiny.transcribe(np.zeros(3 * 16_000, np.float32))
    assert said.text == ""
    assert said.language is None
    assert said.token_ids == ()


# Languages


def test_an_unknown_language_is_refused_with_those_known(tiny):
    with pytest.raises(InputError, match=r"tiny does not know the language 'klingon'.*English"):
        tiny.transcribe(np.zeros(16_000, np.float32), "klingon")
    with pytest.raises(InputError, match="empty string"):
        tiny.language_name(" ")


@pytest.mark.parametrize("name", ["en", "English", "ENGLISH", "en-US", "en_gb"])
def test_languages_have_many_names(tiny, name):
    assert tiny.language_name(name) == "English"


def test_a_language_given_says_what_is_found_without(tiny, clips):
    for _, samples in clips[:3]:
        found, given = tiny.transcribe(samples), tiny.transcribe(samples, "en")
        assert found.language == given.language == "English"
        assert found.text == given.text
        assert found.token_ids == given.token_ids


# Transcription


def test_it_transcribes_speech_it_has_not_seen(tiny, clips):
    said = [tiny.transcribe(samples).text for _, samples in clips]
    error = jiwer.wer([plain(text) for text, _ in clips], [plain(text) for text in said])
    assert error < 0.05


def test_token_ids_are_the_text(tiny, clips):
    said = tiny.transcribe(clips[0][1])
    assert tiny.vocabulary.decode(said.token_ids).strip() == said.text
    assert not set(said.token_ids) & tiny.vocabulary.end_ids


def test_several_clips_together_give_what_each_gives_alone(tiny, clips):
    some = [samples for _, samples in clips] + [np.zeros(16_000, np.float32)]
    prefixes = [tiny.prefill(samples) for samples in some]
    together = tiny.generate(prefixes)
    assert together == [tiny.generate([prefix])[0] for prefix in prefixes]
    # and the prompts can be read again
    assert tiny.generate(prefixes[::-1]) == together[::-1]


def test_nothing_to_generate(tiny):
    assert tiny.generate([]) == []


def test_mixed_prompts_decode_together(tiny, clips):
    """With a language the prompt is longer, and the answer has no head."""
    samples = clips[0][1]
    auto, given = tiny.generate([tiny.prefill(samples), tiny.prefill(samples, "en")])
    assert auto == given
    assert auto.language == "English"
    assert auto.text_ids


def engine_answer(samples, language=None):
    """Logits of the first token and the greedy answer, by the engine's own functions."""
    from mlx_qwen3_asr.audio import compute_features
    from mlx_qwen3_asr.generate import GenerationConfig, generate
    from mlx_qwen3_asr.load_models import load_model

    engine, _ = load_model(str(TINY_FOLDER), dtype=mx.float32)
    engine.set_dtype(mx.float32)
    vocabulary = Vocabulary(TINY_FOLDER)
    mel, lengths = compute_features(samples)
    audio, _ = engine.audio_tower(mel, lengths)
    ids = mx.array([vocabulary.prompt(audio.shape[1], language).ids])
    positions = mx.broadcast_to(mx.arange(ids.shape[1])[None, None], (1, 3, ids.shape[1]))
    logits = engine.prefill(ids, audio, positions, engine.create_cache())
    config = GenerationConfig(max_new_tokens=200, eos_token_ids=list(vocabulary.end_ids))
    answer = generate(engine, ids, audio, positions, config)
    return np.array(logits[0, -1]), [i for i in answer if i not in vocabulary.end_ids]


@pytest.mark.parametrize("language", [None, "English"])
def test_logits_and_answers_are_the_engines_own(tiny, clips, language):
    samples = clips[1][1]
    logits, answer = engine_answer(samples, language)
    prefix = tiny.prefill(samples, language)
    assert np.array(prefix.logits) == pytest.approx(logits, abs=2e-3)
    (said,) = tiny.generate([prefix])
    assert [*(prefix.head or ()), *said.text_ids] == answer


# The vocabulary


def test_special_tokens_are_looked_up_and_are_no_text(tiny):
    vocabulary = tiny.vocabulary
    named = json.loads((TINY_FOLDER / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    ids = {entry["content"]: int(i) for i, entry in named.items()}
    assert vocabulary.audio_id == ids["<|audio_pad|>"]
    assert vocabulary.text_marker_id == ids["<asr_text>"]
    assert vocabulary.end_ids == {ids["<|im_end|>"], ids["<|endoftext|>"]}
    assert all(vocabulary.token_bytes(i) == b"" for i in ids.values())
    assert vocabulary.token_bytes(10**9) == b""


@pytest.mark.parametrize("text", ["hello world", " don't ", "naïve 🎧 你好", "a\n\tb", ""])
def test_any_text_survives_its_tokens(tiny, text):
    assert tiny.vocabulary.decode(tiny.vocabulary.encode(text)) == text


def test_the_prompt_has_one_placeholder_a_frame(tiny):
    prompt = tiny.vocabulary.prompt(7, "English", context="names")
    assert prompt.ids[prompt.audio_start : prompt.audio_stop] == (tiny.vocabulary.audio_id,) * 7
    assert prompt.ids.count(tiny.vocabulary.audio_id) == 7


def test_tokens_added_to_a_checkpoint_are_text_unless_they_are_special(tmp_path):
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes((TINY_FOLDER / name).read_bytes())
    config = json.loads((TINY_FOLDER / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] |= {
        "863": {"content": "<laugh> ", "special": False},
        "864": {"content": "Müller你", "special": False},
        "865": {"content": "<|secret|>", "special": True},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    vocabulary = Vocabulary(tmp_path)
    ids = [*vocabulary.encode("hello "), 863, 864, 865, vocabulary.text_marker_id]
    engine = Tokenizer(str(tmp_path)).decode(ids[:-1], skip_special_tokens=True)
    assert vocabulary.decode(ids) == engine == "hello <laugh> Müller你"
    assert vocabulary.encode("<laugh> ") == [863]


def test_answers_without_a_head_or_language(tiny):
    encode, head = tiny.vocabulary.encode, tiny.vocabulary.answer_head
    none, english = encode("language None<asr_text>"), encode("language English<asr_text>")
    assert head(none) == (None, len(none))
    assert head([*english, *encode("hi")]) == ("English", len(english))
    assert head([*none, *encode("hi")]) == (None, len(none))
    assert head(encode("just text")) == (None, 0)
    assert head(encode("language of the birds")) == (None, 0)
    # One that the audio's end, or a loop, left unfinished: no text of it is said.
    for unfinished in ("language", "language English", "language None"):
        assert head(encode(unfinished)) == (None, len(encode(unfinished)))
    assert head([]) == (None, 0)


# Capture, against a decoder of our own in numpy


def read_weights(folder):
    """The tensors of a safetensors file, float32, without the library."""
    data = (folder / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    kinds = {"F16": np.float16, "F32": np.float32}
    return {
        name: np.frombuffer(
            data[8 + size + entry["data_offsets"][0] : 8 + size + entry["data_offsets"][1]],
            kinds[entry["dtype"]],
        ).reshape(entry["shape"]).astype(np.float64)
        for name, entry in header.items()
        if name != "__metadata__"
    }  # fmt: skip


def rms_norm(x, weight, eps):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def rotated(x, base):
    """[tokens, heads, dim] turned by the angles of their positions."""
    half = x.shape[-1] // 2
    angles = np.arange(len(x))[:, None] / base ** (np.arange(half) / half)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def numpy_attention(embedded, weights, config):
    """Softmax(QK / sqrt(dim)) of every layer: [layers, heads, tokens, tokens]."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim, eps, base = config["head_dim"], config["rms_norm_eps"], config["rope_theta"]
    count = len(embedded)
    hidden, maps = embedded, []
    for layer in range(config["num_hidden_layers"]):

        def w(name, layer=layer):
            return weights[f"model.layers.{layer}.{name}.weight"]

        x = rms_norm(hidden, w("input_layernorm"), eps)
        q = (x @ w("self_attn.q_proj").T).reshape(count, heads, dim)
        k = (x @ w("self_attn.k_proj").T).reshape(count, kv_heads, dim)
        v = (x @ w("self_attn.v_proj").T).reshape(count, kv_heads, dim)
        q = rotated(rms_norm(q, w("self_attn.q_norm"), 1e-5), base)
        k = rotated(rms_norm(k, w("self_attn.k_norm"), 1e-5), base)
        k, v = (np.repeat(x, heads // kv_heads, axis=1) for x in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(dim)
        scores[:, np.triu(np.ones((count, count), bool), 1)] = -np.inf
        attention = np.exp(scores - scores.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        maps.append(attention)
        out = np.einsum("hqk,khd->qhd", attention, v).reshape(count, -1)
        hidden = hidden + out @ w("self_attn.o_proj").T
        x = rms_norm(hidden, w("post_attention_layernorm"), eps)
        gate = x @ w("mlp.gate_proj").T
        hidden = (
            hidden + (gate / (1 + np.exp(-gate)) * (x @ w("mlp.up_proj").T)) @ w("mlp.down_proj").T
        )
    return np.stack(maps)


def test_capture_is_the_softmax_of_the_checkpoints_own_queries_and_keys(tiny, clips):
    samples = clips[0][1]
    prefix = tiny.prefill(samples)
    (said,) = tiny.generate([prefix])
    ids = [*prefix.head, *said.text_ids]
    seen = captured(tiny, prefix, said.text_ids)

    weights = read_weights(TINY_FOLDER)
    config = json.loads((TINY_FOLDER / "config.json").read_text())["thinker_config"]["text_config"]
    prompt = prefix.prompt
    embedded = weights["model.embed_tokens.weight"][[*prompt.ids, *ids]]
    embedded[prompt.audio_start : prompt.audio_stop] = np.array(tiny.encode(samples))
    full = numpy_attention(embedded, weights, config)
    # The query that predicts token i is one position before it.
    first = len(prompt.ids) - 1
    audio = slice(prompt.audio_start, prompt.audio_stop)
    expected = full[:, :, first + len(prefix.head) : first + len(ids), audio]
    shape = (tiny.num_layers, tiny.num_heads, len(said.text_ids), prefix.frames)
    assert expected.shape == shape
    assert seen == pytest.approx(expected, abs=2e-4)
    assert (seen.argmax(-1) == expected.argmax(-1)).mean() > 0.995


def test_one_pass_shows_what_decoding_token_by_token_would_have(tiny, clips):
    prefix = tiny.prefill(clips[2][1])
    (said,) = tiny.generate([prefix])
    ids = said.text_ids
    once = captured(tiny, prefix, ids)
    for count in range(1, len(ids) + 1, 5):
        part = captured(tiny, prefix, ids[:count])
        assert part[:, :, -1] == pytest.approx(once[:, :, count - 1], abs=1e-5)


def test_attention_is_a_share_of_all_that_is_paid(tiny, clips):
    prefix = tiny.prefill(clips[3][1])
    (said,) = tiny.generate([prefix])
    ids = said.text_ids
    seen = captured(tiny, prefix, ids)
    assert seen.dtype == np.float32
    assert (seen >= 0).all()
    assert (seen.sum(-1) <= 1 + 1e-5).all()
    assert seen.sum(-1).max() < 1


def test_capture_leaves_the_prefix_as_it_was(tiny, clips):
    prefix = tiny.prefill(clips[4][1])
    (said,) = tiny.generate([prefix])
    ids = said.text_ids
    first = captured(tiny, prefix, ids)
    assert prefix.cache.offset == len(prefix.prompt.ids)
    assert tiny.generate([prefix]) == [said]
    assert (captured(tiny, prefix, ids) == first).all()


def test_a_failure_in_the_middle_of_a_capture_leaves_nothing_behind(tiny, clips):
    prefix = tiny.prefill(clips[4][1])
    (said,) = tiny.generate([prefix])
    ids = said.text_ids

    def fail(layer, weights):
        raise KeyError(layer)

    with pytest.raises(KeyError):
        tiny.attention(prefix, ids, fail)
    assert tiny.generate([prefix]) == [said]


def test_the_attention_of_a_prefix_that_was_not_generated_from_is_the_same(tiny, clips):
    asked, fresh = tiny.prefill(clips[1][1]), tiny.prefill(clips[1][1])
    (said,) = tiny.generate([asked])
    assert (captured(tiny, fresh, said.text_ids) == captured(tiny, asked, said.text_ids)).all()


def test_attention_has_no_row_for_the_head_of_an_answer(tiny, clips):
    """The head that the model writes where no language is given, or that the prompt has."""
    detected, given = tiny.prefill(clips[5][1]), tiny.prefill(clips[5][1], "en")
    (answer,) = tiny.generate([given])
    seen = [captured(tiny, prefix, answer.text_ids) for prefix in (detected, given)]
    rows = len(answer.text_ids)
    assert seen[0].shape == (tiny.num_layers, tiny.num_heads, rows, detected.frames)
    # The same tokens stand at the same places.
    assert seen[0] == pytest.approx(seen[1], abs=1e-4)


def test_attention_of_another_text_than_the_answer(tiny, clips):
    """As of a reference: its rows are as many as its tokens, whatever the model said."""
    prefix = tiny.prefill(clips[5][1])
    ids = tiny.encode_text(" something else altogether")
    rows = captured(tiny, prefix, ids)
    tiny.generate([prefix])
    assert rows.shape[2] == len(ids)
    assert (captured(tiny, prefix, ids) == rows).all()


def test_no_tokens_no_attention(tiny, clips):
    tiny.attention(tiny.prefill(clips[0][1]), [], lambda *_: pytest.fail("called"))


# Hypotheses


def test_a_source_gives_the_models_own_probabilities_and_frames(tiny, clips):
    """Against one pass over prompt and text, for the tokens and for the end of the text."""
    samples = clips[2][1]
    heads = ((3, 0), (2, 1), (3, 5))
    said = tiny.open_source(heads).hypothesis(samples, 0, (), "English")
    prefix = tiny.prefill(samples, "English")
    assert said.token_ids == tiny.generate([prefix])[0].text_ids
    assert (said.language, said.ended, said.audio_frames) == ("English", True, prefix.frames)
    text = tiny.engine.model.embed_tokens(mx.array([prefix.prompt.ids[-1], *said.token_ids]))
    prefix.cache.trim(1)
    logits = np.array(tiny.engine.lm_head(decode(tiny.engine.model, text[None], prefix.cache)[0]))
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    expected = (shares / shares.sum(-1, keepdims=True)).max(-1)
    assert said.probabilities == pytest.approx(expected, abs=2e-3)
    seen = captured(tiny, tiny.prefill(samples, "English"), said.token_ids)
    attended = np.stack([seen[pair].argmax(-1) for pair in heads], axis=1)
    assert (said.head_frames[:-1] == attended).mean() > 0.98
    assert (said.frames == np.median(said.head_frames, axis=1)).all()


def test_a_buffer_too_short_to_decode_says_nothing(tiny):
    said = tiny.open_source(((3, 0), (3, 1))).hypothesis(np.zeros(200, np.float32), 0, (), None)
    assert (said.token_ids, said.language, said.audio_frames) == ((), None, 0)
    assert said.head_frames.shape == (0, 2)


def test_the_cost_is_that_of_the_weights(tiny):
    """Two operations for each weight of a dense layer that a position goes through."""
    cost = tiny.cost()
    layer = tiny.engine.model.layers[0]
    own, mlp = layer.self_attn, layer.mlp
    dense = [own.q_proj, own.k_proj, own.v_proj, own.o_proj]
    dense += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    weights = sum(one.weight.size for one in dense)
    assert cost.decoder_flop_per_position == 2 * tiny.num_layers * weights
    assert cost.vocabulary_flop_per_row == 2 * tiny.engine.lm_head.weight.size
    assert cost.decoder_flop_per_pair == 4 * tiny.num_layers * own.num_heads * own.head_dim
    tower = tiny.engine.audio_tower
    inside = tower.layers[0]
    dense = [inside.self_attn.q_proj, inside.self_attn.k_proj, inside.self_attn.v_proj]
    dense += [inside.self_attn.out_proj, inside.fc1, inside.fc2]
    per_frame = len(tower.layers) * sum(one.weight.size for one in dense)
    per_frame += sum(one.weight.size for one in (tower.conv_out, tower.proj1, tower.proj2))
    assert cost.encoder_flop_per_frame > 2 * per_frame
    # What is left are the convolutions, over 100 mel frames of 128 bands, each halving both.
    left = (cost.encoder_flop_per_frame - 2 * per_frame) * 13 / 2
    halves = [(64, 50), (32, 25), (16, 13)]
    convolutions = (tower.conv2d1, tower.conv2d2, tower.conv2d3)
    assert left == pytest.approx(
        sum(
            one.weight.size * bands * length
            for one, (bands, length) in zip(convolutions, halves, strict=True)
        )
    )


# Loading


def test_it_says_what_it_is(tiny):
    assert (tiny.name, tiny.label) == ("tiny", "tiny")
    assert tiny.languages == ("English",)
    assert tiny.num_heads % tiny.num_kv_heads == 0


def test_the_name_does_not_mind_capitals():
    assert SpeechModel.load("TINY").name == "tiny"


def test_an_unknown_dtype_is_refused():
    with pytest.raises(InputError, match="'int4'; known: float32, float16, bfloat16"):
        SpeechModel.load("tiny", dtype="int4")


def test_half_precision_says_the_same(tiny, clips):
    half = SpeechModel.load("tiny", dtype="float16")
    assert (half.dtype, tiny.dtype) == ("float16", "float32")
    halved = half.cost().cache_bytes_per_position
    assert halved * 2 == tiny.cost().cache_bytes_per_position
    samples = clips[0][1]
    assert plain(half.transcribe(samples).text) == plain(tiny.transcribe(samples).text)


def test_a_copy_elsewhere_is_known_by_its_folder(tmp_path, clips):
    folder = shutil.copytree(TINY_FOLDER, tmp_path / "my model")
    model = SpeechModel.load(folder)
    assert (model.name, model.label) == ("my model", "my model")


def test_no_attention_score_is_larger_than_the_bound(tiny, clips):
    largest = 0.0

    def observe(_, queries, keys):
        nonlocal largest
        kv_heads, dim = keys.shape[1], keys.shape[3]
        scores = queries.reshape(1, kv_heads, -1, dim) @ keys.swapaxes(-1, -2) * dim**-0.5
        largest = max(largest, float(mx.abs(scores).max()))

    embedded = 20 * mx.random.normal((1, 60, 128))
    decode(tiny.engine.model, embedded, KVCache(tiny.num_layers), observe=observe)
    decode(tiny.engine.model, tiny.encode(clips[0][1])[None], KVCache(tiny.num_layers),
           observe=observe)  # fmt: skip
    assert 0.1 * tiny.largest_score < largest <= tiny.largest_score
