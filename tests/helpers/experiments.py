"""Experiments of the gin files that ship with the project."""

from hclx.gin_bindings import load_experiment


def experiment(size, machine):
    return load_experiment(
        [f"gin_configs/{f}.gin" for f in ("runs/pretrain", f"sizes/{size}", f"mesh/{machine}")], []
    )
