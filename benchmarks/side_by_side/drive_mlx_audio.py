"""mlx-audio's AlignAtt streaming of Whisper; runs in that package's own environment.

The loop is that of its `Model.generate_streaming`, which does not show the hypotheses. Given to it:
float32 on a CPU, where its float16 takes many times as long, and OpenBLAS in place of the
reference BLAS that MLX's wheel for Linux brings. The tokenizer is OpenAI's, of mlx-whisper: its own
is read from files that OpenAI's weights do not come with.
"""

import ctypes
import json
from pathlib import Path

from protocol import serve


def load(settings):
    """Settings: `weights` (a folder), `heads`, `language` (a code), `frame_threshold`."""
    blas = prefer_openblas()
    import mlx.core as mx
    import numpy as np
    from mlx_audio.stt.models.whisper.audio import log_mel_spectrogram
    from mlx_audio.stt.models.whisper.streaming import StreamingConfig, StreamingDecoder
    from mlx_audio.stt.models.whisper.whisper import Model, ModelDimensions
    from mlx_whisper.tokenizer import get_tokenizer

    folder = Path(settings["weights"])
    dims = ModelDimensions.from_dict(json.loads((folder / "config.json").read_text()))
    on_gpu = mx.default_device() == mx.Device(mx.gpu, 0)
    model = Model(dims, mx.float16 if on_gpu else mx.float32)
    weights = mx.load(str(folder / "weights.safetensors"))
    model.load_weights(list(model.sanitize(weights).items()), strict=True)
    model.set_alignment_heads(np.array(settings["heads"]))
    model.get_tokenizer = lambda language, task: get_tokenizer(
        model.is_multilingual, num_languages=model.num_languages, language=language, task=task
    )
    mx.eval(model.parameters())

    def open_stream():
        config = StreamingConfig(frame_threshold=settings["frame_threshold"])
        decoder = StreamingDecoder(model, config, language=settings["language"])

        def feed(samples, is_last):
            mel = log_mel_spectrogram(samples, n_mels=dims.n_mels)
            result = decoder.decode_chunk(mel, is_last=is_last)
            shown = decoder.tokenizer.decode(decoder._emitted_tokens)
            return [[result.text, None, None]], shown

        return feed, None

    return open_stream, {
        "dtype": str(model.dtype),
        "blas": blas,
        "device": str(mx.default_device()),
    }


def prefer_openblas():
    """Load it where it is, before MLX is imported, as this package does; say which BLAS is used."""
    try:
        ctypes.CDLL("libopenblas.so.0", ctypes.RTLD_GLOBAL)
    except OSError:
        return "MLX's own"
    return "OpenBLAS"


if __name__ == "__main__":
    serve(load)
