"""mlx-audio's AlignAtt streaming of Whisper; runs in that package's own environment.

The loop is that of its `Model.generate_streaming`, which does not show the hypotheses. The
tokenizer is OpenAI's, of mlx-whisper: its own is read from files that the weights may lack. On a
CPU it is given what is not of its own making: float32, as float16 takes many times as long, and on
Linux this package's OpenBLAS and C heap in place of the reference BLAS of MLX's wheel.
"""

import json
import sys
from pathlib import Path

from protocol import serve


def load(settings):
    """Settings: `weights` (a folder), `heads`, `language` (a code), `frame_threshold`, `cpu`.

    `cpu` is the folder of this package's openblas.py and heap.py, which need nothing else of it.
    """
    sys.path.insert(0, settings["cpu"])
    from heap import keep_freed_memory
    from openblas import prefer_openblas

    keep_freed_memory()
    blas = prefer_openblas()  # before MLX is imported
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
        "openblas": blas,
        "device": str(mx.default_device()),
    }


if __name__ == "__main__":
    serve(load)
