"""What an artifact was made from: canonical specs, code fingerprints, requests and records.

A job's *request* (`spec.json`) is what the study asks for now; its *record* (`run.json`) is what the artifact was
made from. Both lie with the results, so that "rerun only what changed" does not depend on `.snakemake/`.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIBRARIES = ("jax", "flax", "optax", "numpy", "miditok", "symusic", "music21", "librosa", "pyarrow", "snakemake")
"""Libraries whose versions stand in every record; the lock's digest covers all."""
LONGEST_VALUE = 80
"""Characters of a value in a line that tells of a difference."""


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no white space, no NaN. Equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str | bytes) -> str:
    """SHA-256, the first 16 hexadecimal digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock_digest(path: Path) -> str:
    """Digest of the pins of a lock file; comments and blank lines do not count."""
    lines = [line.strip() for line in Path(path).read_text().splitlines()]
    return digest("\n".join(line for line in lines if line and not line.startswith("#")))


def code_digest(source: str) -> str:
    """Digest of Python source over its AST, without comments, docstrings and formatting."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return digest(ast.dump(tree, include_attributes=False))


class Fingerprints:
    """Code fingerprints of a project: which modules a program needs, and the digest of each.

    Args:
        root: the project's folder.
        package: the package below `root/src` whose modules count; other imports are the lock's business.
        cache: a JSON file that remembers digests by content; it may be deleted at any time.
    """

    def __init__(self, root: Path, package: str = "dalsegno", cache: Path | None = None) -> None:
        self.source = Path(root) / "src"
        self.root = Path(root)
        self.package = package
        self.cache_path = cache
        self._known: dict[str, dict[str, Any]] = {}
        if cache is not None and cache.exists():
            with contextlib.suppress(ValueError):
                self._known = json.loads(cache.read_text())
        self._fresh = False
        self._units: dict[str, tuple[str, list[str]]] = {}

    def closure(self, program: str, extra: Iterable[str] = (), resources: Iterable[str] = ()) -> dict[str, str]:
        """`{module or file: digest}` of all that a program runs.

        Args:
            program: a script, relative to the root.
            extra: modules that the program loads by name, e.g. a family's.
            resources: other files, relative to the root, that count byte by byte.
        """
        result: dict[str, str] = {}
        todo = [program, *extra]
        while todo:
            name = todo.pop()
            if name in result:
                continue
            result[name], imports = self._unit(name)
            todo += imports
        for resource in resources:
            result[resource] = digest((self.root / resource).read_bytes())
        return dict(sorted(result.items()))

    def save(self) -> None:
        """Write the cache if this object learned something new."""
        if self.cache_path is not None and self._fresh:
            write_atomically(self.cache_path, canonical(self._known))

    def _unit(self, name: str) -> tuple[str, list[str]]:
        if name not in self._units:
            path = self.root / name if name.endswith(".py") else self._module_path(name)
            if path is None or not path.exists():
                raise FileNotFoundError(f"no source for {name!r} below {self.root}")
            content = path.read_bytes()
            key = hashlib.sha256(content).hexdigest()
            known = self._known.get(key)
            if known is None:
                source = content.decode()
                known = {"digest": code_digest(source), "imports": sorted(imported_names(source))}
                self._known[key] = known
                self._fresh = True
            self._units[name] = (known["digest"], self._modules(name, known["imports"]))
        return self._units[name]

    def _modules(self, importer: str, names: Iterable[str]) -> list[str]:
        """The package's modules among imported names (`package.module` or `package.module.object`)."""
        found = set()
        for imported in names:
            if imported.startswith("."):
                raise ValueError(f"{importer} imports {imported!r}: relative imports are not followed, write them out")
            parts = imported.split(".")
            if parts[0] != self.package:
                continue
            found |= {
                name for end in range(1, len(parts) + 1) if self._module_path(name := ".".join(parts[:end])) is not None
            }
        return sorted(found - {importer})

    def _module_path(self, name: str) -> Path | None:
        base = self.source.joinpath(*name.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.exists():
                return path
        return None


def imported_names(source: str) -> set[str]:
    """All names that a source imports, wherever it does so, except for type checking only."""
    names: set[str] = set()
    todo: list[ast.AST] = [ast.parse(source)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names |= {f"{base}.{alias.name}" for alias in node.names}
        todo += ast.iter_child_nodes(node)
    return names


@dataclass(frozen=True)
class Request:
    """What one job is asked for.

    Attributes:
        folder: where its `spec.json` and `run.json` lie.
        spec: canonical JSON of everything that changes the output.
        code: canonical JSON `{module: digest}`.
        lock: digest of the lock file.
    """

    folder: Path
    spec: str
    code: str
    lock: str

    @property
    def content(self) -> dict[str, Any]:
        return {"spec": json.loads(self.spec), "code": json.loads(self.code), "lock": self.lock}


def settle(requests: Sequence[Request], now: float | None = None) -> dict[str, list[str]]:
    """Write every request, and date it so that exactly the outdated artifacts look outdated.

    A request that equals its artifact's record is dated before the artifact; one that differs is dated now. Where
    a copy or a restore has shuffled the dates of current artifacts (an input newer than an output, of the same
    content as recorded), the output is dated after its inputs.

    Args:
        requests: in the order of the DAG, upstream first.
        now: seconds since the epoch; the present by default.

    Returns:
        For each outdated artifact that has a record, by folder: what changed since.
    """
    changed: dict[str, list[str]] = {}
    for request in requests:
        path = request.folder / "spec.json"
        text = json.dumps(request.content, indent=1, sort_keys=True) + "\n"
        try:
            record = json.loads((request.folder / "run.json").read_text())
        except (OSError, ValueError):
            record = None
        if not path.exists() or path.read_text() != text:
            write_atomically(path, text)
        if record is None:
            continue
        differences = list(compare(record, request.content))
        made = _oldest([*record["outputs"], str(request.folder / "run.json")])
        if made is None:
            continue
        if differences:
            changed[str(request.folder)] = differences
            if path.stat().st_mtime <= made:
                _date(path, time.time() if now is None else now)
        else:
            if path.stat().st_mtime >= made:
                _date(path, made - 1)
            _order(record, request.folder / "run.json", made)
    return changed


def compare(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """The differences of two requests or records, one readable line each."""
    for key, value, other in changed_values("spec", before.get("spec"), after.get("spec")):
        yield f"{key}: {_shortened(value)} -> {_shortened(other)}"
    old, new = before.get("code", {}), after.get("code", {})
    for module in sorted(old.keys() | new.keys()):
        if old.get(module) != new.get(module):
            verb = "changed" if module in old and module in new else "new" if module in new else "no longer used"
            yield f"code {module}: {verb}"
    if before.get("lock") != after.get("lock"):
        yield "lock: other library versions"


def changed_values(key: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """The keys, below `key`, at which two values differ, with both; None where a key is absent."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from changed_values(f"{key}.{name}", before.get(name), after.get(name))
    elif _documents(before) and _documents(after) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from changed_values(f"{key}[{index}]", one, other)
    elif before != after:
        yield key, before, after


def _documents(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _shortened(value: Any) -> str:
    text = canonical(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _oldest(files: Iterable[str]) -> float | None:
    """The oldest modification time, or None where a file is missing."""
    try:
        return min((os.stat(name).st_mtime for name in files), default=None)
    except OSError:
        return None


def _order(record: dict[str, Any], record_path: Path, made: float) -> None:
    """Date a current artifact's files after its inputs, where the inputs are what the record says."""
    newer = [name for name in record["inputs"] if os.path.exists(name) and os.stat(name).st_mtime > made]
    if newer and all(file_sha256(Path(name)) == record["inputs"][name] for name in newer):
        after = max(os.stat(name).st_mtime for name in newer)
        for name in [*record["outputs"], record_path]:
            _date(Path(name), max(os.stat(name).st_mtime, after))


def _date(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader finds the old or the new content, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


@contextlib.contextmanager
def recording(request: Path, inputs: Iterable[Path], outputs: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Run a job's body with its spec, and write `run.json` beside the request when the body succeeded.

    Args:
        request: the job's `spec.json`.
        inputs: artifact files that the job reads.
        outputs: files that it writes; they must exist at the end.

    Yields:
        The spec.
    """
    content = json.loads(Path(request).read_text())
    start = time.time()
    record = Path(request).with_name("run.json")
    record.unlink(missing_ok=True)
    yield content["spec"]
    run = {
        **content,
        "inputs": {Path(path).as_posix(): file_sha256(path) for path in sorted(inputs)},
        "outputs": {Path(path).as_posix(): file_sha256(path) for path in sorted(outputs)},
        "git": _git(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor_count": os.cpu_count(),
        "device": _device(),
        "threads": os.environ.get("NPROC"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start)),
        "seconds": round(time.time() - start, 3),
    }
    write_atomically(record, json.dumps(run, indent=1, sort_keys=True) + "\n")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any]:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    status = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def _device() -> str | None:
    """The accelerator that JAX computed on, or None where the job did not use JAX."""
    if "jax" not in sys.modules:
        return None
    import jax

    device = jax.devices()[0]
    return f"{jax.device_count()} x {device.device_kind}"
