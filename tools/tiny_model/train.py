"""Train the tiny checkpoint.

    python -m tools.tiny_model.train --pool work/ --out work/tiny --minutes 80

On a GPU (`--device`), one process trains, and `--workers` others make its batches.
On a CPU, two processes of one thread each share the gradient: at this size that is faster than
two threads in one process, which spend their time waiting for each other. The schedule follows
the clock (`--minutes`), so that a run ends when it was meant to on any machine.
A checkpoint is written every two minutes; `--resume` goes on from it.

    python -m tools.tiny_model.train --pool work/ --out work/tiny --minutes 60 --finish

A second stage at a low rate, from the last checkpoint of the first, on what a stream's buffer
holds: two more heads of the last layer learn to look where three others do, for the redundancy
that large models have.
`--start runtime/models/tiny` goes on from an exported checkpoint instead.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mlx_qwen3_asr.tokenizer import _NativeQwenBPETokenizer
from torch.nn import functional as F

from .batches import Batch, Collator, Pool, batches
from .export import export, weights
from .feeding import fed
from .network import AudioShape, TextShape, TinyASR, head_agreement, log_mel
from .tokenizer import train as train_tokenizer

PEAK_RATE, FINISH_RATE, WARM_UP_STEPS = 2e-3, 8e-4, 100
AGREEMENT_WEIGHT, TEACHERS, PUPILS = 0.3, [0, 2, 4], [1, 5]
CTC_WEIGHT, LABEL_SMOOTHING = 0.3, 0.02
CLIP_NORM, WEIGHT_DECAY, BETAS = 1.0, 0.05, (0.9, 0.98)
SAVE_EVERY_S, LOG_EVERY = 120, 50


def learning_rate(step: int, progress: float, peak: float) -> float:
    """Linear warm-up, then a cosine from `peak` to zero over the training time."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return peak * min(1.0, (step + 1) / WARM_UP_STEPS) * max(cosine, 1e-3)


def loss_of(
    model: TinyASR, batch: Batch, ctc_weight: float, finish: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss to descend, and the share of next tokens that are right."""
    mel = log_mel(batch.audio, batch.lengths)
    logits, ctc = model(mel, batch.counts, batch.tokens, batch.select)
    loss = F.cross_entropy(logits, batch.targets, label_smoothing=LABEL_SMOOTHING)
    right = (logits.argmax(-1) == batch.targets).float().mean()
    if finish:
        agreement = head_agreement(model, batch.tokens, batch.select, TEACHERS, PUPILS)
        return loss + AGREEMENT_WEIGHT * agreement, right
    blank = model.ctc.out_features - 1  # a padding row of the vocabulary
    loss = loss + ctc_weight * F.ctc_loss(
        ctc, batch.ctc_targets, batch.counts, batch.ctc_lengths, blank, zero_infinity=True
    )
    return loss, right


def work(rank: int, world: int, args: argparse.Namespace, port: int) -> None:
    """One training process."""
    device = torch.device(args.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    else:
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(args.seed)
    if world > 1:
        dist.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
        )
    tokenizer = _NativeQwenBPETokenizer(str(args.out))
    special = tokenizer._added_tokens_encoder
    shapes = AudioShape(), TextShape(vocab_size=args.vocab_size)
    model = TinyASR(*shapes, audio_token_id=special["<|audio_pad|>"]).to(device)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        betas=BETAS,
        foreach=True,
    )
    checkpoint, step, spent = args.pool / "checkpoint.pt", 0, 0.0
    if args.start:
        model.load_state_dict({**model.state_dict(), **weights(args.start)})  # it has no CTC head
    elif args.resume or args.finish:
        state = torch.load(checkpoint, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if args.resume:
            step, spent = state["step"], state["spent"]
    saved_at = time.monotonic()
    started, progress = time.monotonic() - spent, spent / (60 * args.minutes)
    shared_progress = mp.get_context("fork").Value("d", progress)

    def make(worker: int) -> Iterator[Batch]:
        seed = [args.seed, step, rank, worker]
        now = (lambda: 1.0) if args.finish else (lambda: shared_progress.value)
        return batches(pool, collate, seed, args.batch_seconds / world, now)

    pool, collate = Pool(args.pool), Collator(tokenizer, special)
    stream = fed(make, args.workers, pinned=device.type == "cuda")

    peak = args.rate or (FINISH_RATE if args.finish else PEAK_RATE)
    totals, waited_s, logged_at = torch.zeros(2, device=device), 0.0, time.monotonic()
    while progress < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, progress, peak)
        asked_at = time.monotonic()
        batch = next(stream).to(device)
        waited_s += time.monotonic() - asked_at
        loss, right = loss_of(model, batch, CTC_WEIGHT * (1.0 - progress), args.finish)
        optimizer.zero_grad()
        loss.backward()
        # The clock travels with the gradient: every process must leave the loop together.
        clock = torch.tensor([(time.monotonic() - started) / (60 * args.minutes)], device=device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        shared = torch.cat([*(gradient.flatten() for gradient in gradients), clock])
        if world > 1:
            dist.all_reduce(shared)
            shared /= world
        progress = shared_progress.value = shared[-1].item()
        norm = shared[:-1].norm().item()
        if math.isfinite(norm):
            shared *= min(1.0, CLIP_NORM / (norm + 1e-6))
            position = 0
            for p in parameters:
                p.grad = shared[position : position + p.numel()].view_as(p)
                position += p.numel()
            optimizer.step()
        step += 1
        totals += torch.stack([loss.detach(), right])
        if rank == 0 and step % LOG_EVERY == 0:
            now_s = time.monotonic()
            mean_loss, mean_right = (totals / LOG_EVERY).tolist()
            print(
                f"step {step}  {(now_s - started) / 60:.1f} min  loss {mean_loss:.3f}  "
                f"next token right {100 * mean_right:.1f} %  norm {norm:.2f}  "
                f"waited {100 * waited_s / (now_s - logged_at):.0f} %",
                flush=True,
            )
            totals, waited_s, logged_at = torch.zeros_like(totals), 0.0, now_s
        if rank == 0 and (time.monotonic() - saved_at > SAVE_EVERY_S or progress >= 1.0):
            saved_at = time.monotonic()
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                     "step": step, "spent": time.monotonic() - started}  # fmt: skip
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            export(model, *shapes, special, args.out)
    if world > 1:
        dist.destroy_process_group()


def main() -> None:
    """Train a tokenizer (unless one is there), then the network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", type=Path, default=Path("work"))
    parser.add_argument("--out", type=Path, default=Path("work/tiny"))
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--batch-seconds", type=float, default=160.0, help="padded audio a step")
    parser.add_argument("--rate", type=float, help="peak learning rate of this run")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--processes", type=int, default=2, help="that train, on a CPU")
    parser.add_argument("--workers", type=int, help="processes that make batches for each of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--finish", action="store_true", help="the second stage")
    parser.add_argument("--start", type=Path, help="--finish from this exported checkpoint")
    args = parser.parse_args()
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    on_gpu = args.device == "cuda"
    if on_gpu:
        args.processes = 1  # a second one would wait for the first
    if args.workers is None:
        args.workers = max(1, (os.cpu_count() or 2) - 1) if on_gpu else 0
    size_file = args.pool / "vocab_size.json"
    if args.start:
        if not args.finish:
            parser.error("--start is for --finish")
        shutil.copytree(args.start, args.out, dirs_exist_ok=True)
        shape = json.loads((args.start / "config.json").read_text())["thinker_config"]
        size_file.write_text(json.dumps(shape["text_config"]["vocab_size"]))
    elif not (args.resume or args.finish):
        size_file.write_text(json.dumps(train_tokenizer(args.out)))
    args.vocab_size = json.loads(size_file.read_text())
    print(json.dumps(asdict(TextShape(vocab_size=args.vocab_size))), flush=True)
    port = 29_500 + os.getpid() % 1000
    if args.processes == 1:
        work(0, 1, args, port)
    else:
        mp.spawn(work, (args.processes, args, port), nprocs=args.processes)


if __name__ == "__main__":
    main()
