"""Rotated images read tile by tile, against torchvision and what the official script wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2.functional import rotate

from tests.conftest import DATA
from wsrl.problems import TiledImages
from wsrl.problems.image_sources import trains_on
from wsrl.problems.rotation import TiledRotation
from wsrl.rnn import PreparedPopulation, RNNWeights
from wsrl.zoos import BuildSettings, build_zoo, open_zoo, verify_zoo
from wsrl.zoos.group import Group, initial_weights

OFFICIAL = DATA / "official" / "sequential_mnist"
ANGLES = [0.0, 33.3, 90.0, 123.4, 180.0, 271.0, 359.9]

PROBLEM = TiledImages(evaluated_images=64, stored_sequences=4)
SETTINGS = BuildSettings(
    runs=5, snapshots=(0, 5, 20), hidden_size=6, num_layers=1, group_size=3, batch_size=8, seed=4
)


@pytest.mark.parametrize("size", [8, 28])
def test_rotation_is_torchvisions(size: int) -> None:
    images = torch.rand(len(ANGLES), 3, size, size)
    rotation = TiledRotation(size, size)  # one tile: the image
    ours = rotation.apply(images.flatten(2), torch.tensor(ANGLES, dtype=torch.float64))
    for index, angle in enumerate(ANGLES):
        theirs = rotate(images[index], angle)
        assert torch.equal(ours[index].view_as(theirs), theirs)
    other = rotation.apply(images.flatten(2), torch.tensor(ANGLES) + 10)
    assert not torch.equal(other, ours)


def test_sequences_are_bos_and_normalised_tiles_and_back() -> None:
    rows = torch.tensor([[3, 7], [0, 9]])
    sequences = PROBLEM.sequences(rows, torch.tensor([0.0, 90.0]))
    assert sequences.shape == (2, 2, 17, 4)
    assert torch.equal(sequences[:, :, 0], torch.zeros(2, 2, 4))
    images = PROBLEM.as_images(sequences)
    assert images is not None
    pixels = PROBLEM.images.pixels.view(-1, 8, 8) / 16
    wanted = torch.stack([pixels[[3, 7]], pixels[[0, 9]].rot90(1, (1, 2))])
    torch.testing.assert_close(images * 0.3760 + 0.3053, wanted)
    assert PROBLEM.as_images(sequences[:, :, :5]) is None


def test_the_published_split() -> None:
    trains = trains_on(np.arange(60_000))
    assert int(trains.sum()) == 47_998
    first = [i for i in range(100) if (i ^ 0x04095164213DD204) % 10 < 8]
    assert np.flatnonzero(trains[:100]).tolist() == first
    images = PROBLEM.images
    both = torch.cat([images.train, images.validation])
    assert torch.equal(both.sort().values, torch.arange(1797))


def test_a_pass_shows_every_training_image_once() -> None:
    stream = PROBLEM.training_stream(PROBLEM.draw_tasks(1, [0, 1]), [0, 1], 1, 40, True)
    steps = len(PROBLEM.images.train) // 40
    seen = torch.cat([stream.batch(step).inputs[1] for step in range(steps)])
    assert len(seen.flatten(1).unique(dim=0)) == len(seen)
    assert not torch.equal(stream.batch(0).inputs[0], stream.batch(steps).inputs[0])


def test_judging_is_what_one_computes_by_hand() -> None:
    tasks = torch.tensor([[10.0], [200.0]], dtype=torch.float64)
    spec = PROBLEM.spec("gru", 5, 1)
    weights = RNNWeights(initial_weights(spec, 0, [0, 1]), spec)
    rows = PROBLEM.images.validation[:50]
    run = PreparedPopulation(weights, "eager")
    losses, accuracy = PROBLEM.judge(run, tasks, rows)
    for index, angle in enumerate(tasks[:, 0].tolist()):
        pixels = PROBLEM.images.pixels[rows].view(-1, 8, 8) / 16
        turned = (rotate(pixels, angle) - 0.3053) / 0.3760
        tiles = turned.unfold(1, 2, 2).unfold(2, 2, 2).reshape(50, 16, 4)
        rnn, linear = weights[index : index + 1].to_module()
        with torch.no_grad():
            outputs = linear(rnn(torch.nn.functional.pad(tiles, (0, 0, 1, 0)))[0])
        labels = PROBLEM.images.labels[rows]
        loss = torch.nn.functional.cross_entropy(
            outputs.transpose(1, 2), labels[:, None].expand(-1, 17)
        )
        assert float(losses[index]) == pytest.approx(float(loss), abs=1e-5)
        right = (outputs[:, -1].argmax(-1) == labels).float().mean()
        assert float(accuracy[index]) == pytest.approx(float(right))


def test_members_draw_their_weight_decay_and_it_acts() -> None:
    drawn = PROBLEM.weight_decays(0, range(200), 7.0)
    assert set(drawn[:, 0].tolist()) == {0.0, 0.001, 0.01, 0.1}
    assert torch.equal(PROBLEM.weight_decays(0, [5], 7.0), drawn[5:6])
    flats = []
    for decay in (0.0, 0.5):
        problem = TiledImages(weight_decays=[decay], evaluated_images=1, stored_sequences=1)
        group = Group(problem, problem.spec("tanh", 4, 1), SETTINGS, [0, 1], torch.device("cpu"))
        group._train_step()
        flats.append(group.flat.detach())
    start = initial_weights(PROBLEM.spec("tanh", 4, 1), SETTINGS.seed, [0, 1])
    torch.testing.assert_close(flats[0] - flats[1], 0.01 * 0.5 * start)


def test_a_zoo_of_digits_is_built_and_verified(tmp_path: Path) -> None:
    build_zoo(tmp_path / "zoo", PROBLEM, SETTINGS, quiet=True)
    verify_zoo(tmp_path / "zoo")
    zoo = open_zoo(tmp_path / "zoo")
    assert zoo.problem.settings() == PROBLEM.settings()
    gap = zoo.read("validation_loss") - zoo.read("training_loss")
    assert torch.equal(zoo.read("generalization_gap"), gap)
    decays = PROBLEM.weight_decays(4, range(5), 0.0).expand(5, 3).flatten()
    assert torch.equal(zoo.read("weight_decay"), decays)
    loss = zoo.read("training_loss").view(5, 3)
    assert (loss[:, 2] < loss[:, 0]).all()


def test_what_is_stored_is_of_the_right_images() -> None:
    problem = TiledImages(evaluated_images=30, stored_sequences=6)
    tasks, spec = problem.draw_tasks(0, [0, 1]), problem.spec("lstm", 5, 1)
    weights = RNNWeights(initial_weights(spec, 0, [0, 1]), spec)
    run = PreparedPopulation(weights, "eager")
    columns, images = problem.evaluate(run, tasks, [0, 1], 0, 7), problem.images
    for name, rows in (("training", images.train), ("validation", images.validation)):
        wanted, accuracy = problem.judge(run, tasks, rows[:30])
        torch.testing.assert_close(columns[f"{name}_loss"], wanted)
    torch.testing.assert_close(columns["performance"], accuracy)
    known = problem.sequences(images.train[None], tasks[:, 0]).half().flatten(2)
    for stored, among in zip(columns["sequences"].flatten(2), known, strict=True):
        assert all((among == sequence).all(1).any() for sequence in stored)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((9, 27, 28), ">u1"), np.zeros(9, ">u1"), r"must be 28 x 28 bytes each.*\(9, 27"),
        (np.zeros((9, 28, 28), ">u1"), np.zeros(8, ">u1"), "8 labels"),
        (np.zeros((0, 28, 28), ">u1"), np.zeros(0, ">u1"), "0 labels|cannot read"),
        (np.zeros((9, 28, 28), ">u1"), np.full(9, 10, ">u1"), r"labels 0\.\.9"),
        (np.zeros((9, 28, 28), ">i4"), np.zeros(9, ">u1"), "cannot read the FashionMNIST images"),
        (None, np.zeros(9, ">u1"), "cannot read the FashionMNIST images"),
    ],
)
def test_images_are_checked_before_anything_reads_them(
    images: NDArray[Any] | None, labels: NDArray[Any], message: str, tmp_path: Path
) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix in ("train", "t10k"):
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            kind = 0 if array is None else {1: 8, 4: 12}[array.dtype.itemsize]
            shape = (3,) if array is None else array.shape
            head = np.array([256 * kind + len(shape), *shape], ">i4").tobytes()
            body = b"" if array is None else array.tobytes()
            (raw / f"{prefix}-{name}-ubyte").write_bytes(head + body)
    problem = TiledImages(source="fashion_mnist", image_folder=str(tmp_path), stored_sequences=1)
    with pytest.raises(ValueError, match=message):
        problem.prepare()


def test_missing_images_are_an_error_before_anything_is_written(tmp_path: Path) -> None:
    problem = TiledImages("mnist", image_folder=str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match=r"cannot read the MNIST images at .*WSRL_IMAGES"):
        build_zoo(tmp_path / "zoo", problem, SETTINGS, quiet=True)
    assert not (tmp_path / "zoo").exists()


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"no official sample at {OFFICIAL}")
def test_the_official_sequences_are_our_training_images(mnist: Path) -> None:
    problem = TiledImages("mnist", image_folder=str(mnist))
    stored = torch.from_numpy(np.load(OFFICIAL / "sequences.npy")[:1, :20])
    angles = torch.from_numpy(np.load(OFFICIAL / "tasks.npy")[:1, 0])
    train = problem.images.train
    # A few pixels in the middle tell which image it is; then all of them have to agree.
    ours = problem.sequences(train[None], angles)[0, :, 17:33].half()
    for sequence in stored[0]:
        row = train[(ours == sequence[17:33]).flatten(1).sum(1).argmax()]
        found = problem.sequences(row.view(1, 1), angles)[0, 0].half()
        assert int((found != sequence).sum()) <= 1
