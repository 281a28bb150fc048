"""The Whisper family on small random checkpoints: layouts, tokens, attention, the source."""

from __future__ import annotations

import json

import numpy as np
import pytest
import whisper_checkpoints as made
from whisper_checkpoints import noise

from alignheads import DecoderConfig, InputError, SpeechModel, StreamDecoder
from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.protocol import Hypothesis, text_of
from alignheads.runtime.models.whisper.languages import NAMES, code_of
from alignheads.runtime.models.whisper.source import MARGIN_S, WhisperSource
from alignheads.runtime.models.whisper.vocabulary import Vocabulary

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made.mlx_folder(tmp_path_factory.mktemp("whisper") / "small")


@pytest.fixture(scope="module")
def model(folder):
    return SpeechModel.load(folder)


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper") / "small.en"
    return SpeechModel.load(made.mlx_folder(folder, made.ENGLISH))


def logits_of(model):
    return np.array(model.prefill(noise(2), "en").logits)


# Layouts


def test_sizes_are_those_of_the_checkpoint(model):
    assert (model.family, model.attention_kind) == ("whisper", "cross")
    assert (model.num_layers, model.num_heads, model.max_audio_s) == (2, 2, 30.0)
    assert model.clock.frames(1.0) == 50
    assert len(model.languages) == 99


def named_layouts():
    named = made.tensors()
    theirs = made.as_transformers(named)
    half = dict(list(theirs.items())[::2]), dict(list(theirs.items())[1::2])
    shards = {f"model-0000{n}-of-00002.safetensors": part for n, part in enumerate(half, 1)}
    return {
        "mlx npz": (made.mlx_config(), {"weights.npz": named}),
        "mlx torch convolutions": (
            made.mlx_config(),
            {"weights.safetensors": {
                name: np.ascontiguousarray(a.transpose(0, 2, 1)) if a.ndim == 3 else a
                for name, a in named.items()
            }},
        ),
        "transformers": (made.transformers_config(), {"model.safetensors": theirs}),
        "transformers, no prefix": (
            made.transformers_config(), {"model.safetensors": made.as_transformers(named, "")}
        ),
        "transformers with proj_out": (
            made.transformers_config(),
            {"model.safetensors": {
                **theirs, "proj_out.weight": named["decoder.token_embedding.weight"].copy()
            }},
        ),
        "transformers, shards": (made.transformers_config(), shards),
    }  # fmt: skip


@pytest.mark.parametrize("layout", named_layouts())
def test_every_layout_is_the_same_model(layout, model, tmp_path):
    config, files = named_layouts()[layout]
    folder = made.write(tmp_path / "it", config, files)
    if len(files) > 1:
        places = {name: file for file, content in files.items() for name in content}
        index = folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": places}))
        # A shard that the index does not name is another model's.
        other = made.as_transformers(made.tensors(seed=9))
        made.write(folder, config, {"stale.safetensors": other})
    assert np.allclose(logits_of(SpeechModel.load(folder)), logits_of(model), atol=1e-4)


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_weights_are_what_they_stand_for(bits, tmp_path):
    folder, whole = made.quantised_folder(tmp_path / "q", bits)
    plain = made.write(tmp_path / "p", made.mlx_config(), {"weights.safetensors": whole})
    expected = logits_of(SpeechModel.load(plain))
    assert np.allclose(logits_of(SpeechModel.load(folder)), expected, atol=1e-3)


def test_large_v3_has_its_bands_and_its_language(tmp_path):
    folder = made.mlx_folder(tmp_path / "v3", made.LARGE_V3, mels=128)
    model = SpeechModel.load(folder)
    assert model.language_name("yue") == "Cantonese"
    assert model.prefill(noise(1), "yue").frames == 50


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("decoder.blocks.1.cross_attn.key.weight"), "lack decoder.blocks.1.cross"),
        (lambda t: t.pop("encoder.conv1.weight"), "lack the tensor encoder.conv1.weight"),
        (lambda t: t.update({"adapter.up": np.zeros(3, np.float32)}), "have adapter.up"),
        (
            lambda t: t.update({"decoder.ln.weight": np.ones(7, np.float32)}),
            "decoder.ln.weight of shape",
        ),
    ],
)
def test_another_layout_is_refused_by_its_tensors(change, told, tmp_path):
    named = made.tensors()
    change(named)
    folder = made.write(tmp_path / "it", made.mlx_config(), {"weights.safetensors": named})
    with pytest.raises(InputError, match=r"tensor|layout") as error:
        SpeechModel.load(folder)
    assert told in str(error.value)


def test_files_that_cannot_be_read_say_so(folder, tmp_path):
    whole = (folder / "weights.safetensors").read_bytes()
    cut = made.write(tmp_path / "cut", made.mlx_config(), {})
    (cut / "weights.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"weights\.safetensors ends early: it has"):
        SpeechModel.load(cut)
    torch = made.write(tmp_path / "torch", made.transformers_config(), {})
    (torch / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, which is not read here"):
        SpeechModel.load(torch)
    without = made.write(tmp_path / "none", made.transformers_config(), {})
    with pytest.raises(InputError, match="lacks weights"):
        SpeechModel.load(without)
    config = {k: v for k, v in made.mlx_config().items() if k != "n_text_head"}
    headless = made.write(tmp_path / "h", config, {"weights.safetensors": made.tensors()})
    with pytest.raises(InputError, match="n_text_head or decoder_attention_heads"):
        SpeechModel.load(headless)


# Tokens


def test_the_tokens_are_openais(model, english):
    many, one = model.vocabulary, english.vocabulary
    assert (many.end_id, many.start_id, many.no_timestamps_id) == (50257, 50258, 50363)
    assert (one.end_id, one.start_id, one.no_timestamps_id) == (50256, 50257, 50362)
    assert many.prompt("de", "transcribe") == ([50258, 50261, 50359, 50363], 0)
    assert many.prompt("de", "translate", [11]) == ([50361, 11, 50258, 50261, 50358, 50363], 2)
    assert one.prompt("en", "transcribe") == ([50257, 50362], 0)
    assert many.encode(" hello world") == [7751, 1002]


def test_text_and_tokens_go_round(model):
    for text in ("Hello, world.", "Grüße an Łódź!", "日本語のテキスト", "नमस्ते"):
        assert text_of(model, model.encode_text(text)) == f" {text}"


def test_signs_of_no_speech_and_special_tokens_are_never_said(model):
    suppressed = model.vocabulary.suppressed
    assert {1, 2, 7, 8, 9, 10, 14, 25, 50258, 50363, 51864} <= suppressed
    assert not suppressed & {model.vocabulary.end_id, *model.vocabulary.encode(" hello, it's")}


def test_the_checkpoints_own_tokenizer_comes_first(folder, tmp_path, model):
    shown = {byte: c for c, byte in _byte_characters().items()}
    pieces = {
        "".join(shown[byte] for byte in model.token_bytes(token)): token
        for token in range(50257)
        if model.token_bytes(token)
    }
    pieces[""] = 50256
    special = [
        {"id": 50257, "content": "<|endoftext|>", "special": True},
        {"id": 50258, "content": "<|startoftranscript|>", "special": True},
        {"id": 50261, "content": "<|de|>", "special": True},
        {"id": 50363, "content": "<|notimestamps|>", "special": True},
        {"id": 50400, "content": "Alignheads", "special": False},
    ]
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": pieces}, "added_tokens": special})
    )
    own = Vocabulary(tmp_path, made.MULTILINGUAL)
    assert own.token_bytes(50400) == b"Alignheads"
    assert list(own.languages) == ["de"]
    assert own.encode(" hello world") == [7751, 1002]
    with pytest.raises(InputError, match="has 50401 tokens, the weights only 50300"):
        Vocabulary(tmp_path, 50300)
    (tmp_path / "tokenizer.json").write_text("[1")
    with pytest.raises(InputError, match=r"cannot read .*tokenizer\.json"):
        Vocabulary(tmp_path, made.MULTILINGUAL)


def _byte_characters():
    from alignheads.runtime.models.whisper.vocabulary import _byte_of_character

    return _byte_of_character()


def test_languages_by_code_name_and_locale(model, english):
    for given in ("de", "German", "german", "de-AT", "de_DE"):
        assert model.language_name(given) == "German"
    assert model.language_name("Filipino") == "Tagalog"
    assert [code_of(name) for name in NAMES.values()] == list(NAMES)
    with pytest.raises(InputError, match="does not know the language 'Klingon'"):
        model.language_name("Klingon")
    with pytest.raises(InputError, match="does not know the language 'de'; it knows English"):
        english.prefill(noise(1), "de")
    with pytest.raises(InputError, match="does not know the language 'yue'"):
        model.language_name("yue")  # that came with large-v3


def test_without_a_language_one_is_found(model, english):
    assert model.transcribe(noise(1)).language in model.languages
    assert english.transcribe(noise(1)).language == "English"


# Tasks


def test_a_translation_has_its_own_prompt_and_fingerprint(folder, model, english):
    other = SpeechModel.load(folder, task="translate")
    prompts = [one.prefill(noise(1), "de").prompt for one in (model, other)]
    assert prompts == [[50258, 50261, 50359, 50363], [50258, 50261, 50358, 50363]]
    assert other.fingerprint != model.fingerprint
    with pytest.raises(InputError, match="knows English alone"):
        SpeechModel.load(english.folder, task="translate")
    with pytest.raises(InputError, match="only transcribes"):
        SpeechModel.load("tiny", task="translate")
    with pytest.raises(InputError, match="expected transcribe or translate"):
        SpeechModel.load(folder, task="sing")


def test_a_translation_is_cut_into_english_words(folder):
    """Of Chinese speech, as what is transcribed of it is: the script decides."""
    config = DecoderConfig(
        model="small", heads=made.ALIGNED, head_count=2, border_s=0.5, min_audio_s=1.0
    )
    texts = {}
    for task in ("transcribe", "translate"):
        model = SpeechModel.load(folder, task=task)
        source = SaysHello(model)
        stream = StreamDecoder(model, config, language="zh", source=source)
        stream.feed(noise(4))
        stream.finish()
        texts[task] = [word.text for word in stream.words]
        assert source.languages == ["Chinese"] * len(source.languages)
    assert texts["translate"] == texts["transcribe"] == ["hello", "world"]


class SaysHello:
    """A source that says two words, whatever it hears."""

    def __init__(self, model):
        self.ids, self.languages = model.encode_text("hello world"), []

    def reset(self):
        pass

    def drop(self, samples):
        pass

    def hypothesis(self, samples, lead, committed_ids, language, context=""):
        self.languages.append(language)
        left = self.ids[len(committed_ids) :]
        frames = np.array([50.0 + 40 * i for i in range(len(left) + 1)])
        return Hypothesis(
            tuple(left), language, frames, frames[:, None].astype(int), np.ones(len(frames)),
            len(samples) // 320, True,
        )  # fmt: skip


# Audio


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (np.zeros(399, np.float32), "too few"),
        (np.full(RATE, np.nan, np.float32), "NaN"),
        (np.zeros((2, RATE), np.float32), "one channel"),
        (np.zeros(RATE, np.int16), "one channel of floats"),
        (np.zeros(30 * RATE + 1, np.float32), "reads no more than 30 s"),
    ],
)
def test_audio_that_cannot_be_taken(model, samples, told):
    with pytest.raises(InputError, match=told):
        model.prefill(samples, "en")


def test_the_margin_does_not_change_the_spectrogram(model):
    samples = noise(2.3)
    whole = model.log_mel.padded(samples, 3000)
    assert np.array_equal(model.log_mel.padded(samples, 700), whole[:, :700])


def test_a_stream_reads_its_audio_and_a_margin_and_what_is_offline_the_window(model):
    whole, read = (model.prefill(noise(2), "en", as_stream=streamed) for streamed in (False, True))
    assert whole.frames == read.frames == 100
    lengths = [prefix.cross[0][0].shape[2] for prefix in (whole, read)]
    assert lengths == [1500, 100 + MARGIN_S * 50]


# Attention


def test_attention_is_the_audios_share_and_of_decoding(model):
    prefix = model.prefill(noise(3), "en")
    (answer,) = model.generate([prefix])
    assert answer.text_ids
    layers = {}
    model.attention(prefix, answer.text_ids, layers.__setitem__)
    assert sorted(layers) == [0, 1]
    source = model.open_source(made.ALIGNED, "mean")
    source._margin_s = float("inf")
    said = source.hypothesis(noise(3), 0, answer.text_ids[:1], "English")
    # A text that loops is cut after as many tokens from where it began.
    assert said.token_ids[: len(answer.text_ids) - 1] == answer.text_ids[1:]
    for place, (layer, head) in enumerate(made.ALIGNED):
        weights = layers[layer]
        assert weights.shape == (2, len(answer.text_ids), 150)
        assert (weights.sum(-1) < 1).all()  # the window's padding has the rest
        expected = weights[head, 1:].argmax(-1)
        assert np.array_equal(said.head_frames[: len(expected), place], expected)
        share = weights[head, 1:] / weights[head, 1:].sum(-1, keepdims=True)
        assert np.allclose(said.weights[: len(expected), place], share, atol=1e-5)


def test_clips_decoded_together_say_what_each_says_alone(model):
    clips = [noise(seconds, seed) for seed, seconds in enumerate((1, 4, 2.5))]
    prefixes = [model.prefill(clip, "en", context) for clip, context in zip(
        clips, ("", "what was said before", ""), strict=True)]  # fmt: skip
    together = model.generate(prefixes)
    assert together == [model.generate([prefix])[0] for prefix in prefixes]


# The source


def test_a_draft_changes_nothing(model):
    samples = noise(6)
    kept = model.open_source(made.ALIGNED)
    for seconds in range(1, 7):
        part = samples[: seconds * RATE]
        afresh = WhisperSource(model, made.ALIGNED)
        ours, theirs = (s.hypothesis(part, 0, (), "English") for s in (kept, afresh))
        assert ours.token_ids == theirs.token_ids
        assert np.array_equal(ours.head_frames, theirs.head_frames)
        assert np.allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
        assert ours.audio_frames == 50 * seconds
        assert ours.head_frames.max(initial=0) < 50 * seconds


def test_a_space_by_itself_inside_of_a_draft_stays(model, monkeypatch):
    """No text begins with one; later it is a token as any other."""
    blank = model.vocabulary.blank_id
    likely = mx.zeros(model.dims.n_vocab).at[blank].add(1000.0)
    mx.eval(likely)
    logits = type(model.network).logits
    monkeypatch.setattr(
        type(model.network), "logits", lambda self, rows: logits(self, rows) + likely
    )
    kept = model.open_source(made.ALIGNED)
    for seconds in (1, 2):
        found = kept.hypothesis(noise(seconds), 0, (), "English").token_ids
        assert found[0] != blank
        assert set(found[1:]) == {blank}


def test_committed_text_is_the_prefix(model):
    source = model.open_source(made.ALIGNED)
    first = source.hypothesis(noise(4), 0, (), "English")
    later = source.hypothesis(noise(4), 0, first.token_ids[:3], "English")
    assert later.token_ids == first.token_ids[3:]


def test_a_text_as_long_as_the_model_has_room_for_ends_quietly(model):
    source = model.open_source(made.ALIGNED)
    said = source.hypothesis(noise(2), 0, [11] * 460, "English", context="word " * 400)
    assert said.token_ids == ()
    assert not said.ended
    with pytest.raises(InputError, match="has room for"):
        model.attention(model.prefill(noise(1), "en"), [11] * 460, lambda *_: None)


def test_too_little_audio_says_nothing(model):
    said = model.open_source(made.ALIGNED).hypothesis(np.zeros(100, np.float32), 0, (), None)
    assert said.token_ids == ()


def test_no_numbers_so_small_that_products_crawl():
    from alignheads.runtime.models.cpu.activations import attention, gelu

    x = mx.array(np.linspace(-60, 60, 20_000, dtype=np.float32))
    made_of = np.abs(np.array(gelu(x)))
    tiny = np.finfo(np.float32).tiny
    assert not ((made_of > 0) & (made_of < tiny)).any()
    queries = mx.array(np.full((1, 1, 100, 8), 12, np.float32))
    keys = mx.array(np.linspace(-30, 30, 8 * 100, dtype=np.float32).reshape(1, 1, 100, 8))
    values = mx.eye(100)[None, None]
    weights = np.array(attention(queries, keys, values))
    assert not ((weights > 0) & (weights < tiny)).any()
