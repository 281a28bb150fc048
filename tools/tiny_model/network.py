"""Qwen3-ASR in PyTorch, small enough to train on a CPU, and quick on a GPU.

The same computation as the engine (`mlx_qwen3_asr`: model.py, encoder.py, decoder.py)
under the same parameter names, so that export is a copy. Two things are batched here
that the engine does one utterance at a time: every utterance is padded to whole chunks of
100 mel frames, and encoder windows of 800 frames lie on the batch axis.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from mlx_qwen3_asr.audio import _mel_filters_np
from torch import Tensor, nn
from torch.nn import functional as F

CHUNK_FRAMES, CHUNK_TOKENS = 100, 13
WINDOW_CHUNKS = 8


@dataclass(frozen=True)
class AudioShape:
    """Field names of the checkpoint's `audio_config`."""

    num_mel_bins: int = 128
    encoder_layers: int = 3
    encoder_attention_heads: int = 4
    encoder_ffn_dim: int = 384
    d_model: int = 128
    output_dim: int = 128
    max_source_positions: int = 1500
    n_window: int = 50
    n_window_infer: int = 800
    conv_chunksize: int = 500
    downsample_hidden_size: int = 24


@dataclass(frozen=True)
class TextShape:
    """Field names of the checkpoint's `text_config`."""

    vocab_size: int = 704
    hidden_size: int = 128
    intermediate_size: int = 384
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 24
    rope_theta: float = 10_000.0
    rope_scaling: dict = field(default_factory=lambda: {"mrope_section": [4, 4, 4]})
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = True

    def to_json(self) -> dict:
        return asdict(self)


def log_mel(audio: Tensor, lengths: Tensor) -> Tensor:
    """[batch, samples] -> [batch, 128, frames], as the engine's `log_mel_spectrogram`.

    The floor (maximum minus 8) is taken over each utterance's own frames; frames beyond
    its length are zero, which is what the engine pads a tail chunk with.
    """
    filters = torch.from_numpy(_mel_filters_np(128)).to(audio.device)
    window = torch.from_numpy(np.hanning(401)[:-1].astype(np.float32)).to(audio.device)
    spectrum = torch.stft(audio, 400, 160, window=window, return_complex=True, pad_mode="reflect")
    power = spectrum.abs() ** 2
    log = (filters @ power).clamp(min=1e-10).log10()[:, :, :-1]
    frames = lengths // 160
    valid = torch.arange(log.shape[2], device=log.device)[None, :] < frames[:, None]
    log = log.masked_fill(~valid[:, None, :], -10.0)
    floor = log.amax(dim=(1, 2), keepdim=True) - 8.0
    log = (torch.maximum(log, floor) + 4.0) / 4.0
    return log.masked_fill(~valid[:, None, :], 0.0)


def audio_token_count(mel_frames: Tensor) -> Tensor:
    """13 tokens for each whole second, ceil(tail / 8) for the rest."""
    return mel_frames // CHUNK_FRAMES * CHUNK_TOKENS + (mel_frames % CHUNK_FRAMES + 7) // 8


class AudioAttention(nn.Module):
    def __init__(self, shape: AudioShape) -> None:
        super().__init__()
        self.heads = shape.encoder_attention_heads
        width = shape.d_model
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            p(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(out.transpose(1, 2).reshape(batch, length, width))


class AudioLayer(nn.Module):
    def __init__(self, shape: AudioShape) -> None:
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(shape.d_model)
        self.self_attn = AudioAttention(shape)
        self.final_layer_norm = nn.LayerNorm(shape.d_model)
        self.fc1 = nn.Linear(shape.d_model, shape.encoder_ffn_dim)
        self.fc2 = nn.Linear(shape.encoder_ffn_dim, shape.d_model)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x), mask)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class AudioEncoder(nn.Module):
    def __init__(self, shape: AudioShape) -> None:
        super().__init__()
        channels = shape.downsample_hidden_size
        self.conv2d1 = nn.Conv2d(1, channels, 3, 2, 1)
        self.conv2d2 = nn.Conv2d(channels, channels, 3, 2, 1)
        self.conv2d3 = nn.Conv2d(channels, channels, 3, 2, 1)
        self.to(memory_format=torch.channels_last)
        self.conv_out = nn.Linear(channels * shape.num_mel_bins // 8, shape.d_model, bias=False)
        self.layers = nn.ModuleList(AudioLayer(shape) for _ in range(shape.encoder_layers))
        self.ln_post = nn.LayerNorm(shape.d_model)
        self.proj1 = nn.Linear(shape.d_model, shape.d_model)
        self.proj2 = nn.Linear(shape.d_model, shape.output_dim)
        half = shape.d_model // 2
        scale = torch.exp(-np.log(10_000.0) / (half - 1) * torch.arange(half))
        angle = torch.arange(CHUNK_TOKENS)[:, None] * scale[None, :]
        table = torch.cat([angle.sin(), angle.cos()], dim=1)
        self.register_buffer("positions", table, persistent=False)

    def forward(self, mel: Tensor, counts: Tensor) -> Tensor:
        """mel [batch, 128, chunks * 100], counts [batch] tokens -> [batch, tokens, width]."""
        batch, bins, frames = mel.shape
        chunks = frames // CHUNK_FRAMES
        x = mel.view(batch, bins, chunks, CHUNK_FRAMES).transpose(1, 2)
        x = x.reshape(batch * chunks, 1, bins, CHUNK_FRAMES)
        # A new batch size costs the convolution library a compilation: keep to few sizes.
        x = F.pad(x, (0, 0, 0, 0, 0, 0, 0, -len(x) % 16))
        x = x.contiguous(memory_format=torch.channels_last)
        for conv in (self.conv2d1, self.conv2d2, self.conv2d3):
            x = F.gelu(conv(x))
        x = x[: batch * chunks].permute(0, 3, 1, 2).flatten(2)  # chunks, 13, channels x 16 bins
        x = self.conv_out(x) + self.positions
        windows = -(-chunks // WINDOW_CHUNKS)
        x = x.view(batch, chunks * CHUNK_TOKENS, -1)
        size = min(chunks, WINDOW_CHUNKS) * CHUNK_TOKENS
        x = F.pad(x, (0, 0, 0, windows * size - x.shape[1]))
        valid = torch.arange(windows * size, device=x.device)[None, :] < counts[:, None]
        x, mask = x.reshape(batch * windows, size, -1), valid.view(batch * windows, size).clone()
        # A window with no audio at all would be softmax over nothing: let it see one key.
        mask[:, 0] = True
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        x = self.proj2(F.gelu(self.proj1(self.ln_post(x))))
        return x.reshape(batch, windows * size, -1)


class TextAttention(nn.Module):
    def __init__(self, shape: TextShape) -> None:
        super().__init__()
        self.heads, self.kv_heads = shape.num_attention_heads, shape.num_key_value_heads
        self.head_dim = shape.head_dim
        width = shape.hidden_size
        self.q_proj = nn.Linear(width, self.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(width, self.kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(width, self.kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_dim, width, bias=False)
        self.q_norm = nn.RMSNorm(self.head_dim, eps=1e-5)
        self.k_norm = nn.RMSNorm(self.head_dim, eps=1e-5)
        self.kept: tuple[Tensor, Tensor] | None = None  # queries and keys of the last forward

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(batch, length, self.heads, -1)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(batch, length, self.kv_heads, -1)).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.kv_heads, -1).transpose(1, 2)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        self.kept = (q, k)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


class SwiGLU(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class TextLayer(nn.Module):
    def __init__(self, shape: TextShape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.self_attn = TextAttention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.mlp = SwiGLU(shape.hidden_size, shape.intermediate_size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class TextDecoder(nn.Module):
    def __init__(self, shape: TextShape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(TextLayer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        # The three position axes are equal for audio and text, so MRoPE is plain RoPE here.
        inverse = shape.rope_theta ** -(torch.arange(0, shape.head_dim, 2) / shape.head_dim)
        self.register_buffer("inverse_frequency", inverse, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        angle = torch.arange(x.shape[1], device=x.device)[:, None] * self.inverse_frequency[None, :]
        angle = torch.cat([angle, angle], dim=-1)
        cos, sin = angle.cos(), angle.sin()
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)


class TinyASR(nn.Module):
    """Encoder and decoder, plus a CTC head that only training uses."""

    def __init__(self, audio: AudioShape, text: TextShape, audio_token_id: int) -> None:
        super().__init__()
        self.audio_tower = AudioEncoder(audio)
        self.model = TextDecoder(text)
        self.ctc = nn.Linear(audio.output_dim, text.vocab_size)  # dropped at export
        self.audio_token_id = audio_token_id
        self.apply(_initialise)

    def forward(
        self, mel: Tensor, counts: Tensor, tokens: Tensor, select: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits of the selected positions, and CTC log-probabilities.

        Args:
            mel: [batch, 128, frames].
            counts: [batch], audio tokens of each utterance.
            tokens: [batch, length], the prompt with `counts` placeholders, then the text.
            select: [batch, length] bool, the positions whose next token is scored.

        Returns:
            [selected, vocabulary] and [audio tokens, batch, vocabulary].
        """
        audio = self.audio_tower(mel, counts)
        embedded = self.model.embed_tokens(tokens)
        valid = torch.arange(audio.shape[1], device=audio.device)[None, :] < counts[:, None]
        embedded = embedded.masked_scatter((tokens == self.audio_token_id)[..., None], audio[valid])
        hidden = self.model(embedded)[select]
        logits = hidden @ self.model.embed_tokens.weight.T
        return logits, self.ctc(audio).log_softmax(-1).transpose(0, 1)


def head_agreement(
    model: TinyASR, tokens: Tensor, select: Tensor, teachers: list[int], pupils: list[int]
) -> Tensor:
    """How far some heads of the last layer look from where others do: a cross-entropy.

    The teachers' mean attention over the audio, held fixed, is the target of each pupil's.
    Call it after a forward pass of the same batch; `tokens` and `select` as there.
    """
    q, k = model.model.layers[-1].self_attn.kept
    heads = [*teachers, *pupils]
    scores = q[:, heads] @ k[:, heads].transpose(-1, -2) * q.shape[-1] ** -0.5
    rows = scores.transpose(1, 2)[select]  # selected, heads, positions
    audio = (tokens == model.audio_token_id)[torch.nonzero(select)[:, 0]]
    logs = rows.masked_fill(~audio[:, None, :], -1e9).log_softmax(-1)
    target = logs[:, : len(teachers)].exp().mean(1, keepdim=True).detach()
    return -(target * logs[:, len(teachers) :]).sum(-1).mean()


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.05)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
