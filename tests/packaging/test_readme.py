"""The README's two shell commands: one line each, each with a virtual environment of its own."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_exactly_two_commands_each_in_its_own_environment():
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    environments = []
    for block in blocks:
        (command,) = block.splitlines()
        made = re.match(r"python3 -m venv (\S+) && ", command)
        assert made is not None, command
        environments.append(made[1])
        for step in command.split(" && ")[1:]:
            assert step.startswith(f"{made[1]}/bin/")
    main_job, tests = blocks
    assert main_job.rstrip().endswith("/simsla run playbook")
    assert "-m pytest" in tests
    assert len(set(environments)) == 2
