#!/usr/bin/env python3
"""Fetches the packages of packages.tsv and writes what is worth learning from as plain files.

    python3 datasets/base-code/fetch.py --out DIR

Archives come through `cargo` and `pip` as they are configured, and count only with the SHA-256 of the list.
A call after one that broke off goes on with it. DIR/text/PART/NAME-VERSION/... is what `revela data chunk` reads;
DIR/summary.json says what was kept, under which licences, and what was left out and why.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Iterator, NamedTuple

import text as texts

HERE = Path(__file__).resolve().parent
PERMISSIVE = set(
    "MIT MIT-0 Apache-2.0 BSD-2-Clause BSD-3-Clause ISC Unlicense Zlib 0BSD CC0-1.0 LLVM-exception".split()
)


class Failure(Exception):
    """Something that the person who called must know."""


class Package(NamedTuple):
    """One line of packages.tsv."""

    part: str
    registry: str
    kind: str
    name: str
    version: str
    licence: str
    sha256: str
    file: str

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}"


def read_list(path: Path) -> list[Package]:
    """The list, refused as a whole when a line of it may not be used."""
    with path.open(newline="") as lines:
        rows = [Package(*row) for row in csv.reader(lines, delimiter="\t") if row and not row[0].startswith("#")]
    held_out = {p["name"] for p in tomllib.loads((HERE.parents[1] / "Cargo.lock").read_text())["package"]}
    for package in rows:
        terms = package.licence.replace("(", " ").replace(")", " ").split()
        # A choice needs one permissive licence, a conjunction all of them; "WITH" only takes duties away.
        choices = " ".join(terms).replace(" WITH ", " AND ").split(" OR ")
        if not any(set(choice.split(" AND ")) <= PERMISSIVE for choice in choices):
            raise Failure(f"{path}: {package.name} is under {package.licence!r}, which is not known as permissive")
        if package.registry == "crates" and package.name in held_out:
            raise Failure(f"{path}: {package.name} is a dependency of this workspace, whose text tests are made of")
    if len({p.folder for p in rows}) < len(rows):
        raise Failure(f"{path}: a package stands there twice")
    return rows


def matches(path: Path, package: Package) -> bool:
    """Whether a file is the archive that the list means."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == package.sha256


def keep(found: Path, package: Package, archives: Path) -> None:
    """Puts a downloaded archive in its place."""
    if not matches(found, package):
        raise Failure(f"{found.name} is not the archive that the list names: its SHA-256 differs")
    part = archives / (package.file + ".part")
    shutil.copyfile(found, part)
    part.replace(archives / package.file)


def run(command: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)} failed:\n{done.stderr.strip()[-500:]}")


def fetch_crate(package: Package, archives: Path) -> None:
    """`cargo info` downloads a crate alone, without what it depends on."""
    run(["cargo", "info", "--quiet", "--registry", "crates-io", f"{package.name}@{package.version}"])
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    found = sorted(home.glob(f"registry/cache/*/{package.file}"))
    if not found:
        raise Failure(f"cargo left no {package.file} below {home}/registry/cache")
    keep(found[0], package, archives)


class Pip:
    """pip with the usual build backends beside it: it asks a source package's backend for its name."""

    def __init__(self, folder: Path):
        self.python = str(folder / "bin" / "python")
        self.env = dict(os.environ, PATH=f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
        if not (folder / "ready").exists():
            venv.create(folder, clear=True, with_pip=True)
            run([self.python, "-m", "pip", "install", "--quiet", "-r", str(HERE / "backends.txt")], self.env)
            (folder / "ready").touch()

    def fetch(self, package: Package, archives: Path) -> None:
        with tempfile.TemporaryDirectory(dir=archives) as scratch:
            command = [self.python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch]
            command += self.which(package) + [f"{package.name}=={package.version}"]
            run(command, self.env)
            found = Path(scratch) / package.file
            if not found.exists():
                raise Failure(f"pip brought {os.listdir(scratch)} instead of {package.file}")
            keep(found, package, archives)

    @staticmethod
    def which(package: Package) -> list[str]:
        if package.kind == "sdist":
            return ["--no-binary", ":all:", "--no-build-isolation"]
        # A wheel is one of many: its name says for which Python and platform it is.
        python, abi, platforms = package.file.removesuffix(".whl").rsplit("-", 3)[1:]
        tags = ["--only-binary", ":all:", "--implementation", python[:2], "--abi", abi.split(".")[0]]
        if python.startswith("cp"):
            tags += ["--python-version", python[2:]]
        for platform in platforms.split("."):
            tags += ["--platform", platform]
        return tags


def download(packages: list[Package], out: Path, jobs: int) -> None:
    """Everything that is not there yet; says at the end what could not be had."""
    archives = out / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    missing = [p for p in packages if not ((archives / p.file).exists() and matches(archives / p.file, p))]
    print(f"{len(packages) - len(missing)} archives are there, {len(missing)} to fetch", flush=True)
    pip = Pip(out / "backends") if any(p.registry == "pypi" for p in missing) else None

    def fetch(package: Package) -> str | None:
        try:
            if package.registry == "crates":
                fetch_crate(package, archives)
            else:
                pip.fetch(package, archives)
        except (Failure, OSError) as error:
            return f"{package.name} {package.version}: {error}"
        return None

    # cargo locks its cache, so crates come one at a time whatever `jobs` says.
    crates = [p for p in missing if p.registry == "crates"]
    failures = [fetch(p) for p in crates]
    with ThreadPoolExecutor(jobs) as pool:
        failures += pool.map(fetch, [p for p in missing if p.registry != "crates"])
    if failures := [f for f in failures if f]:
        raise Failure("\n".join(failures) + f"\n{len(failures)} packages could not be fetched; call again to try them")


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Files of an archive that are wanted by name and size; the folder that sources are packed in is taken off."""
    wanted = lambda name, size: texts.unwanted_name(name) is None and size <= texts.LARGEST
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                name = info.filename if archive.suffix == ".whl" else info.filename.partition("/")[2]
                if not info.is_dir() and wanted(name, info.file_size):
                    yield name, packed.read(info)
        return
    with tarfile.open(archive) as packed:
        for info in packed:
            name = info.name.partition("/")[2]
            if info.isfile() and wanted(name, info.size):
                yield name, packed.extractfile(info).read()


def safe(name: str) -> bool:
    """Whether a member's name stays inside its folder."""
    return not name.startswith("/") and ".." not in PurePosixPath(name).parts


class Extraction:
    """Writes the useful text of packages, each text once, and counts."""

    def __init__(self, out: Path, largest_share: int):
        self.out, self.largest_share = out, largest_share
        self.seen: set[bytes] = set()
        self.left_out: Counter[str] = Counter()
        self.kept: dict[str, dict] = {}

    def package(self, package: Package) -> None:
        files = {}
        for name, data in members(self.out / "archives" / package.file):
            text, why = texts.useful(name, data) if safe(name) else (None, "name")
            mark = texts.fingerprint(text) if text else b""
            if mark in self.seen:
                text, why = None, "duplicate"
            if text is None:
                self.left_out[why] += 1
                continue
            self.seen.add(mark)
            files[name] = (mark, text)
        self.write(package, self.bounded(files))

    def bounded(self, files: dict) -> dict:
        """A part of the files, evenly over the package, where all would be more than its share."""
        size, chosen = 0, {}
        for name, (mark, text) in sorted(files.items(), key=lambda item: item[1][0]):
            if size + len(text) > self.largest_share:
                self.left_out["package too large"] += 1
                continue
            size += len(text)
            chosen[name] = text
        return chosen

    def write(self, package: Package, files: dict) -> None:
        root = self.out / "text" / package.part / package.folder
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        by_type: Counter[str] = Counter()
        for name, text in files.items():
            by_type[PurePosixPath(name).suffix.lstrip(".").lower()] += len(text)
        self.kept[package.folder] = {"part": package.part, "licence": package.licence, "characters": dict(by_type)}


def extract(packages: list[Package], out: Path, largest_share: int) -> None:
    """The text of the packages anew: filters may have changed since the last call."""
    for part in {package.part for package in packages}:
        shutil.rmtree(out / "text" / part, ignore_errors=True)
    extraction = Extraction(out, largest_share)
    for number, package in enumerate(packages):
        extraction.package(package)
        if number % 50 == 49:
            print(f"{number + 1} of {len(packages)} packages unpacked", flush=True)
    totals: Counter[str] = Counter()
    for kept in extraction.kept.values():
        totals.update(kept["characters"])
    summary = {
        "characters": sum(totals.values()),
        "by-type": dict(totals.most_common()),
        "left-out": dict(extraction.left_out.most_common()),
        "packages": extraction.kept,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"{summary['characters'] / 1e6:.0f} million characters of text in {out / 'text'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder for archives and text")
    parser.add_argument("--list", type=Path, default=HERE / "packages.tsv", help="the pinned packages")
    parser.add_argument("--part", action="append", help="only packages of this part; may be given again")
    parser.add_argument("--largest-share", type=int, default=3_000_000, help="most characters of one package")
    parser.add_argument("--jobs", type=int, default=2, help="downloads at a time")
    args = parser.parse_args()
    try:
        packages = [p for p in read_list(args.list) if not args.part or p.part in args.part]
        download(packages, args.out, args.jobs)
        extract(packages, args.out, args.largest_share)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
