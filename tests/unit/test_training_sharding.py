"""Training over many devices and hosts gives the results of one device."""

import json
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dalsegno.models import base
from dalsegno.study import Model
from dalsegno.training.run import train
from tests.unit.tiny import CONFIGS, HOME, NEURAL, packed

PROGRAM = """
import json
import sys
from pathlib import Path
from dalsegno.training import devices
tokens, folder, model, machine, processes, cut = json.loads(sys.argv[1])
devices.configure(1, processes=processes)
from dalsegno.representations.base import Packed
from dalsegno.training import loop, run
from dalsegno.training.batches import Windows
folder = Path(folder)
files = [folder / name for name in ("checkpoint.safetensors", "curves.jsonl", "summary.json")]
draw = Windows.batch


def stopping(self, step):
    if step == cut:
        raise InterruptedError
    return draw(self, step)


Windows.batch = stopping
try:
    run.train(model, Packed(Path(tokens)), 0, *files, folder / "scratch", machine=devices.Machine(**machine))
except InterruptedError:
    print("interrupted", file=sys.stderr)
"""


def section(family: str) -> dict:
    """Dropout, accumulation in the batch's sum, evaluation, averages: all that a mesh could change."""
    training = {"steps": 4, "batch_size": 8, "window": 8, "warmup_steps": 1, "eval_every": 2, "average": 0.5}
    model = Model.model_validate({"family": family, "config": CONFIGS[family] | {"layers": 1}, "training": training})
    return model.model_dump(mode="json")


def start(data, folder: Path, model, devices: int, machine=None, processes: int = 1, process: int = 0, **more):
    """A program that trains on simulated devices."""
    folder.mkdir(exist_ok=True)
    given = [str(data.folder), str(folder), model, machine or {}, processes, more.pop("cut", -1)]
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PROCESS_ID": str(process),
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(given)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors


def alone(data, folder: Path, model) -> Path:
    """The same in this process, on its one device."""
    (folder / "one").mkdir()
    names = ("checkpoint.safetensors", "curves.jsonl", "summary.json", "scratch")
    train(model, data, 0, *(folder / "one" / name for name in names))
    return folder / "one"


def weights(folder: Path) -> dict[str, np.ndarray]:
    return base.read_arrays(folder / "checkpoint.safetensors")[0]


def assert_near(folder: Path, other: Path) -> None:
    one, two = weights(folder), weights(other)
    assert one.keys() == two.keys()
    for name in one:
        # Adam's first steps divide small gradients by their own size.
        np.testing.assert_allclose(one[name], two[name], atol=5e-4, err_msg=name)
    curves = [[json.loads(line) for line in (at / "curves.jsonl").read_text().splitlines()] for at in (folder, other)]
    for row, peer in zip(*curves, strict=True):
        assert row["nll"] == pytest.approx(peer["nll"], rel=2e-5)


# Each takes a program of its own some ten seconds to compile.
@pytest.mark.parametrize(
    "family", [name if name == "transformer" else pytest.param(name, marks=pytest.mark.slow) for name in NEURAL]
)
def test_eight_devices_equal_one(family, tmp_path):
    data, model = packed(tmp_path / "packed", HOME[family]), section(family)
    finish(start(data, tmp_path / "full", model, 8, {"sharding": "full"}))
    assert_near(tmp_path / "full", alone(data, tmp_path, model))


@pytest.mark.slow
def test_a_resumed_sharded_run_equals_the_uninterrupted(tmp_path):
    data, model = packed(tmp_path / "packed", "events"), section("transformer")
    machine = {"sharding": "data", "microbatches": 2}
    finish(start(data, tmp_path / "whole", model, 4, machine))
    assert "interrupted" in finish(start(data, tmp_path / "cut", model, 4, machine, cut=3))
    assert not (tmp_path / "cut" / "checkpoint.safetensors").exists()
    assert "resuming at step 2" in finish(start(data, tmp_path / "cut", model, 4, machine))
    for name in ("checkpoint.safetensors", "curves.jsonl", "summary.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("family", NEURAL)
def test_two_processes_equal_one(family, tmp_path):
    data, model = packed(tmp_path / "packed", HOME[family]), section(family)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    pair = [
        start(data, tmp_path / "two", model, 2, {"sharding": "full"}, 2, number, JAX_COORDINATOR_ADDRESS=address)
        for number in range(2)
    ]
    told = [finish(process) for process in pair]
    assert "step 4/4" in told[0] and "step 4/4" not in told[1]
    assert_near(tmp_path / "two", alone(data, tmp_path, model))


SAMPLING = """
import sys
from pathlib import Path
from dalsegno.training import devices
devices.configure(1)
from dalsegno.representations.base import Packed
from dalsegno.sampling.decode import generate
from dalsegno.sampling.options import Sampler
from tests.unit.tiny import trained
import jax
packed = Packed(Path(sys.argv[1]))
samples = generate(trained("transformer", packed), Sampler(count=5, bars=4, prompt_bars=1), packed, 0)
print(jax.local_device_count(), [piece.tolist() for piece in samples])
"""


def test_samples_are_the_same_on_three_devices(tmp_path):
    """Five rows do not divide by three."""
    data = packed(tmp_path / "packed", "events")
    told = []
    for number in (1, 3):
        environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={number}"}
        program = [sys.executable, "-c", SAMPLING, str(data.folder)]
        told.append(subprocess.run(program, env=environment, text=True, capture_output=True, check=True).stdout)
    assert told[0].startswith("1 ") and told[1].startswith("3 ")
    assert told[0][2:] == told[1][2:]


def printed(program: str) -> str:
    """What a program writes that configures its devices itself."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_threads_are_devices_as_far_as_they_divide_a_batch():
    program = """
from dalsegno.training import devices
devices.configure(3)
from dalsegno.training.sharding import Layout
print([Layout(devices.Machine(), batch).count for batch in (9, 8, 7)])
"""
    assert printed(program) == "[3, 2, 1]\n"


@pytest.mark.parametrize("family", ["lstm", "gru"])
def test_recurrent_layers_exchange_gradients_alone(family):
    program = f"""
from dalsegno.training import devices
devices.configure(2)
import jax
import numpy as np
from flax import nnx
from dalsegno.models import {family}, recurrent
from dalsegno.training.sharding import Layout
layout = Layout(devices.Machine(), 4)
graph, params = nnx.split(recurrent.Stack([{family}.Layer(8, nnx.Rngs(0)) for _ in range(2)], recurrent.Config(dropout=0)))
gradient = jax.jit(jax.grad(lambda params, x: nnx.merge(graph, params)(x, None).sum()))
with layout.used():
    x = layout.place_rows(np.ones((4, 6, 8), np.float32))
    compiled = gradient.lower(layout.place(params, layout.of_state(params)), x).compile().as_text()
print([kind for kind in ("all-reduce", "all-gather", "all-to-all") if kind + "(" in compiled])
"""
    assert printed(program) == "['all-reduce']\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told to keep memory")
def test_memory_of_a_step_is_kept_for_the_next():
    program = """
from dalsegno.training import devices
devices.configure(1)
import resource
import jax
import jax.numpy as jnp
step = jax.jit(lambda x: jnp.cumsum(x) + x[::-1])
x = jnp.ones(2**21)
for _ in range(16):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(x).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    # The result alone takes 2,048 pages.
    assert int(printed(program)) < 200
