"""SimulStreaming's Whisper, on the CPU; runs in an environment of its own.

As its command line has it without VAC: greedy, no prompt, no CIF model, so that the last word of a
step is kept. Its loader knows files by OpenAI's names only, so that the model is built here, of the
same classes.
"""

import json
import logging
import sys
from pathlib import Path

from protocol import serve


def load(settings):
    """Settings: `source`, `weights` (folders), `heads`, `language` (a code), `frame_threshold`."""
    sys.path.insert(0, settings["source"])
    import torch
    from safetensors.torch import load_file
    from simulstreaming.whisper.simul_whisper import simul_whisper
    from simulstreaming.whisper.simul_whisper.whisper.model import ModelDimensions, Whisper
    from simulstreaming_whisper import SimulWhisperASR, SimulWhisperOnline

    logging.disable(logging.INFO)
    folder = Path(settings["weights"])
    dims = ModelDimensions(**json.loads((folder / "dims.json").read_text()))

    def load_model(name, download_root):
        model = Whisper(dims)
        state = load_file(folder / "openai.safetensors")
        left = model.load_state_dict(state, strict=False)
        # Sinusoids, which the model has computed.
        assert left.missing_keys == ["encoder.positional_embedding"], left
        assert not left.unexpected_keys, left
        mask = torch.zeros(dims.n_text_layer, dims.n_text_head, dtype=torch.bool)
        mask[tuple(torch.tensor(settings["heads"]).T)] = True
        model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
        return model

    simul_whisper.load_model = load_model
    # The name says to it whether the model knows one language.
    name = "whisper" if dims.n_vocab >= 51865 else "whisper.en"
    asr = SimulWhisperASR(
        language=settings["language"], model_path=name, cif_ckpt_path=None,
        frame_threshold=settings["frame_threshold"], audio_max_len=30.0, audio_min_len=0.0,
        segment_length=settings["step_s"], beams=1, task="transcribe", decoder_type="greedy",
        never_fire=settings["never_fire"], init_prompt=None, static_init_prompt=None,
        max_context_tokens=None, logdir=None,
    )  # fmt: skip
    online = SimulWhisperOnline(asr)

    def pieces(out):
        return [[word["text"], word["start"], word["end"]] for word in out.get("words", ())]

    def open_stream():
        online.init()

        def feed(samples, is_last):
            online.insert_audio_chunk(samples)
            return pieces(online.process_iter())

        return feed, lambda: pieces(online.finish())

    return open_stream, {"torch": torch.__version__, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    serve(load)
